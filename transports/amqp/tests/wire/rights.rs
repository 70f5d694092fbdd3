//! Users who may not do all.

use std::sync::atomic::AtomicUsize;

use lapin::{Connection, ConnectionProperties, options::QueueDeclareOptions, types::FieldTable};

use everywire_core::RpcError;

use super::*;

/// Makes a user with rights to configure, to write and to read; returns the broker's URL for that user.
fn user(broker: &Broker, rights: [&str; 3]) -> (String, String) {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let name = format!("user-{}", LAST.fetch_add(1, Relaxed));
    broker.ctl(["add_user", &name, "secret"]);
    grant(broker, &name, rights);
    let url = broker.url.replace("amqp://", &format!("amqp://{name}:secret@"));
    (name, url)
}

fn grant(broker: &Broker, user: &str, [configure, write, read]: [&str; 3]) {
    broker.ctl(["set_permissions", user, configure, write, read]);
}

async fn declare(broker: &Broker, queue: &str) {
    let connection = Connection::connect(&broker.url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_an_error_at_the_start_if_it_is_needed() {
    needs!(RabbitMq);
    let broker = strict_broker().await;
    let denied = |text| Err((Code::PermissionDenied, text));
    let cases = [
        (["", ".*", ".*"], true, Ok(())),
        (["", ".*", ".*"], false, denied("declare the missing queue")),
        ([".*", "", ".*"], true, denied("send replies (to the exchange amq.default)")),
        ([".*", ".*", ""], true, denied("read from the queue")),
        ([".*", ".*", ".*"], false, Ok(())),
    ];
    for (rights, is_declared, expected) in cases {
        let queue = new_queue();
        if is_declared {
            declare(broker, &queue).await;
        }
        let service = Arc::new(DemoService::new(Arc::<Real>::default()));
        let (_, url) = user(broker, rights);
        let connected = async || Server::connect(&url).await.unwrap().queue(&queue);
        let subscribed = connected().await.subscribe(DemoService::descriptor(), &Limits::default()).await;
        let (at_once, server) = match subscribed {
            Ok(server) => (Ok(()), server),
            Err(error) => (Err(error), connected().await),
        };
        let stop = CancellationToken::new();
        let serving = Box::pin(server.serve(service, Budget::new(Limits::default()), stop.clone()));
        let calling = async {
            let client = DemoClient::new(Client::connect(&broker.url).await.unwrap().queue(&queue));
            if expected.is_ok() {
                assert_eq!(client.add(3, 4).await, Ok(7), "{rights:?}");
                stop.cancel();
            }
        };
        let (ended, ()) = timeout(DEADLINE, Box::pin(async { tokio::join!(serving, calling) })).await.unwrap();
        for outcome in [at_once, ended] {
            let found = outcome.as_ref().map_err(RpcError::code);
            assert_eq!(found.copied(), expected.map_err(|(code, _)| code), "{rights:?}: {outcome:?}");
            if let (Err(error), Err((_, text))) = (outcome, expected) {
                let message = error.message();
                assert!(message.contains(text) && message.contains("ACCESS_REFUSED - "), "{rights:?}: {error}");
                assert!(!message.contains("secret"), "{error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_waits_for_its_rights_tries_less_and_less_often() {
    /// That few tries follow shows only in time.
    const COUNTED: Duration = Duration::from_secs(3);
    needs!(RabbitMq);
    let broker = strict_broker().await;
    let (name, url) = user(broker, [".*", "", ".*"]);
    let (queue, stop) = (new_queue(), CancellationToken::new());
    let server = Server::new(&url).unwrap().queue(&queue);
    let service = Arc::new(DemoService::new(Arc::<Real>::default()));
    let serving = tokio::spawn(server.serve(service, Budget::new(Limits::default()), stop.clone()));
    let rejected = || broker.log().matches(&format!("refused for user '{name}'")).count();
    until("a try", async || rejected() > 0).await;
    sleep(COUNTED).await;
    let tries = rejected();
    // Each is logged for its channel, and perhaps once more.
    assert!(tries <= 16, "{tries} tries in {COUNTED:?}");
    grant(broker, &name, [".*", ".*", ".*"]);
    let client = DemoClient::new(Client::connect(&broker.url).await.unwrap().queue(&queue));
    until("it serves", async || client.add(3, 4).await.is_ok()).await;
    stop.cancel();
    assert_eq!(serving.await.unwrap(), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_right_to_send_is_told_so() {
    needs!(RabbitMq);
    let broker = strict_broker().await;
    let (_, url) = user(broker, [".*", "", ".*"]);
    let client = DemoClient::new(Client::connect(&url).await.unwrap());
    let error = client.add(3, 4).await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::PermissionDenied, Origin::Local), "{error}");
    assert!(error.message().contains("ACCESS_REFUSED - "), "{error}");
}
