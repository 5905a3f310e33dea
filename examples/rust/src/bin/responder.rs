//! Serves `com.example.Greeter` through a broker: dial out, say what is served, answer.

use std::error::Error;

use futures_util::stream;
use jackfield_rsocket::endpoint::{ConnectOptions, Message, Responder, connect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = std::env::args().nth(1).unwrap_or("tcp://127.0.0.1:9999".into());
    let greeter = Responder::new()
        .response(async |request: Message| {
            let name = String::from_utf8_lossy(&request.data).into_owned();
            Ok(Message::new(format!("Hello, {name}!")))
        })
        .stream(|_| stream::iter((1..=1000).map(|n| Ok(Message::new(n.to_string())))));
    let app = ConnectOptions::app("greeter-rust").publish("com.example.Greeter")?.serve(greeter);
    let connection = connect(&broker.parse()?, app).await?;
    println!("ready");
    println!("{}", connection.closed().await);
    Ok(())
}
