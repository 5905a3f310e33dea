//! Lets Prometheus see this program through the broker: it publishes `jackfield.Metrics`, whose method `scrape`
//! answers with text in the Prometheus format. No port of its own.

use std::{error::Error, time::Instant};

use jackfield_rsocket::endpoint::{ConnectOptions, Message, Responder, connect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = std::env::args()
        .nth(1)
        .unwrap_or("tcp://127.0.0.1:9999".into());
    let began = Instant::now();
    // In a real program: the crate `prometheus`, and its `TextEncoder`.
    let metrics = Responder::new().response(move |_| async move {
        Ok(Message::new(format!(
            "# HELP app_answer What this program knows.\n\
             # TYPE app_answer gauge\n\
             app_answer{{language=\"rust\"}} 42\n\
             # HELP app_uptime_seconds_total How long it has run.\n\
             # TYPE app_uptime_seconds_total counter\n\
             app_uptime_seconds_total {}\n",
            began.elapsed().as_secs_f64()
        )))
    });
    let app = ConnectOptions::app("metered-rust")
        .publish("jackfield.Metrics")?
        .serve(metrics);
    let connection = connect(&broker.parse()?, app).await?;
    println!("serving jackfield.Metrics");
    println!("{}", connection.closed().await);
    Ok(())
}
