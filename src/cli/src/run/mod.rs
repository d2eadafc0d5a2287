pub mod exec;
pub mod passed;
pub mod serve;
pub mod swept;
