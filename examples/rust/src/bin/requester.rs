//! Calls `com.example.Greeter` through a broker: once, and as a stream with credit of its own.

use std::error::Error;

use futures_util::StreamExt;
use jackfield_rsocket::{
    endpoint::{ConnectOptions, Credit, Message, connect},
    metadata::CompositeBuilder,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = std::env::args().nth(1).unwrap_or("tcp://127.0.0.1:9999".into());
    let connection = connect(&broker.parse()?, ConnectOptions::app("requester-rust")).await?;
    let to = |route: &str| CompositeBuilder::new().route(route).finish();

    let greet = Message::new("Ada").with_metadata(to("com.example.Greeter.greet")?);
    let reply = connection.request_response(greet).await?;
    println!("{}", String::from_utf8_lossy(&reply.data));

    let count = Message::new("").with_metadata(to("com.example.Greeter.count")?);
    let mut items = connection.request_stream(count, Credit::window(16)).await?.take(100);
    let mut received = 0;
    while let Some(item) = items.next().await {
        item?;
        received += 1;
    }
    println!("{received} items");
    Ok(())
}
