pub mod export;
pub mod graphite;
pub mod push;
pub mod repeat;
pub mod source;
pub mod textfile;
