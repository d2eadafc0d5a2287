//! A server on axum with its metrics under `/metrics`: those of this process, or of all processes of
//! the service when there is a supervisor around it.
//!
//! ```sh
//! cargo run -p tallyboard-tests --example axum -- 127.0.0.1:8000
//! tallyboard exec -- target/debug/examples/axum 127.0.0.1:8000
//! ```

#![forbid(unsafe_code)]

use std::error::Error;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tallyboard::{Counter, Family, Histogram, Timed};

tallyboard::labels! {
    struct Answer { route: String, status: u16 }
}

#[derive(Clone, Copy)]
struct Metrics {
    answers: Family<Counter>,
    seconds: Histogram,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let answers = Counter::builder("shop_answers_total", "Requests answered.");
    let metrics = Metrics {
        answers: answers.labels_of::<Answer>().family()?,
        seconds: Histogram::new("shop_answer_seconds", "Time to answer a request.")?,
    };
    let shop = Router::new()
        .route("/", get(|| async { "tea, coffee\n" }))
        .route("/items/{id}", get(|| async { StatusCode::NOT_FOUND }))
        .layer(from_fn(move |request, next| count(metrics, request, next)))
        .route("/metrics", get(exposition));
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, shop).await?;
    Ok(())
}

/// Counts by route: the path itself would make a series of each item.
async fn count(metrics: Metrics, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let answer = metrics.seconds.time_async(next.run(request)).await;
    let status = answer.status().as_u16();
    let labels = Answer { route: route.unwrap_or_default(), status };
    if let Ok(answers) = metrics.answers.with_labels(&labels) {
        answers.inc();
    }
    answer
}

/// The supervisor is waited for, so this is no work for the runtime's own thread.
async fn exposition(headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let accept = accept.unwrap_or_default().to_owned();
    match tokio::task::spawn_blocking(move || tallyboard::exposition(&accept)).await {
        Ok(Ok((content_type, page))) => ([(CONTENT_TYPE, content_type)], page).into_response(),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
