//! WebSocket sessions written by hand.

use std::{collections::BTreeSet, sync::atomic::Ordering::SeqCst, time::Duration};

use everywire_core::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

use crate::probe::{Peer, Running, post, text_frame, within};

fn wait(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"wait"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_those_of_http() {
    let server = Running::start(Limits { batch_calls: 1, message_bytes: 1_000, ..Limits::default() }).await;
    let mut peer = Peer::connect(server.address).await;
    #[rustfmt::skip]
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[3, 4]}"#, r#"{"jsonrpc":"2.0","id":1,"result":7}"#),
        (r#"[{"jsonrpc":"2.0","id":"a","method":"add","params":{"a":3,"b":4}}]"#, r#"[{"jsonrpc":"2.0","id":"a","result":7}]"#),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ended"},{"jsonrpc":"2.0","id":2,"method":"ended"}]"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":8,"message":"the batch has too many calls; the limit batch_calls is 1","data":{"code":"RESOURCE_EXHAUSTED"}}}"#),
        ("hello", r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":"expected value at line 1 column 1"}}"#),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#, r#"{"jsonrpc":"2.0","id":1,"result":0}"#),
    ];
    for (request, response) in cases {
        peer.send(request).await;
        assert_eq!(peer.receive().await.as_deref(), Some(response), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_run_and_get_no_answer() {
    let server = Running::start(Limits::default()).await;
    let mut peer = Peer::connect(server.address).await;
    peer.send(r#"{"jsonrpc":"2.0","method":"wait"}"#).await;
    peer.send(r#"[{"jsonrpc":"2.0","method":"wait"}]"#).await;
    server.state.begun(2).await;
    peer.send(r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[1,1]}"#).await;
    assert_eq!(peer.receive().await.as_deref(), Some(r#"{"jsonrpc":"2.0","id":1,"result":2}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_session_run_at_the_same_time() {
    let server = Running::start(Limits::default()).await;
    let mut peer = Peer::connect(server.address).await;
    for id in 0..20 {
        peer.send(&wait(id)).await;
    }
    server.state.begun(20).await;
    server.state.go_on.add_permits(20);
    let mut answers = BTreeSet::new();
    for _ in 0..20 {
        answers.insert(peer.receive().await.unwrap());
    }
    assert_eq!(answers.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_cancelled_by_its_id_and_answered_once() {
    let server = Running::start(Limits::default()).await;
    let mut peer = Peer::connect(server.address).await;
    let mut other = Peer::connect(server.address).await;
    let cancel = |id: &str| format!(r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{id}}}}}"#);
    let waits = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"wait"}}"#);
    let cancelled = |id: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32800,"message":"the call was cancelled by its caller","data":{{"code":"CANCELLED"}}}}}}"#
        )
    };
    let ended = r#"{"jsonrpc":"2.0","id":"e","method":"ended"}"#;
    let none_ended = r#"{"jsonrpc":"2.0","id":"e","result":0}"#;
    let ids = ["1", r#""1""#, "1.5", r#""\u0061""#, "null", "7"];
    for id in ids {
        peer.send(&waits(id)).await;
    }
    peer.send(&format!("[{ended},{}]", waits("8"))).await;
    other.send(&waits("1")).await;
    server.state.begun(8).await;
    for unknown in ["2", r#""a""#, "8.0", "[1]", "{}", r#""e""#] {
        peer.send(&cancel(unknown)).await;
    }
    peer.send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest"}"#).await;
    peer.send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":7}"#).await;
    for id in &ids[..5] {
        peer.send(&cancel(id)).await;
        assert_eq!(peer.receive().await, Some(cancelled(id)));
        peer.send(&cancel(id)).await;
        peer.send(ended).await;
        assert_eq!(peer.receive().await.as_deref(), Some(none_ended), "answered once: {id}");
    }
    peer.send(&format!("[{},{}]", cancel("8"), waits("9"))).await;
    assert_eq!(peer.receive().await, Some(format!("[{none_ended},{}]", cancelled("8"))), "within a batch");
    server.state.begun(9).await;
    assert_eq!(server.state.waiting.load(SeqCst), 3, "the calls are dropped, and those of others are not");
    peer.send(&cancel("9")).await;
    assert_eq!(peer.receive().await, Some(format!("[{}]", cancelled("9"))));
    server.state.go_on.add_permits(2);
    assert!(other.receive().await.unwrap().starts_with(r#"{"jsonrpc":"2.0","id":1,"result":"#));
    assert!(peer.receive().await.unwrap().starts_with(r#"{"jsonrpc":"2.0","id":7,"result":"#));
    peer.send(&cancel("7")).await;
    peer.send(&cancel("1").replace("2.0\",", "2.0\",\"id\":3,")).await;
    let answer = peer.receive().await.unwrap();
    assert!(
        answer.starts_with(r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"#),
        "a request and no notification: {answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_held_back_can_be_cancelled_and_so_can_those_before_them() {
    let server = Running::start(Limits { calls_in_flight: 1, ..Limits::default() }).await;
    let mut peer = Peer::connect(server.address).await;
    for id in 1..=3 {
        peer.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"wait"}}"#)).await;
    }
    server.state.begun(1).await;
    for id in [2, 1] {
        peer.send(&format!(r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{id}}}}}"#)).await;
        let answer = peer.receive().await.unwrap();
        assert!(answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32800"#)), "{answer}");
    }
    server.state.begun(2).await;
    server.state.go_on.add_permits(1);
    assert_eq!(peer.receive().await.as_deref(), Some(r#"{"jsonrpc":"2.0","id":3,"result":2}"#));
}

/// As many as fit into 1 MiB are held back, and the others are not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_at_its_limit_of_calls_is_not_read() {
    let server = Running::start(Limits { calls_in_flight: 2, ..Limits::default() }).await;
    let peer = Peer::connect(server.address).await;
    let (mut input, mut output) = peer.0.into_split();
    let request = text_frame(&format!("{}{}", wait(1), " ".repeat(20_000)));
    let sending = tokio::spawn(async move {
        output.write_all(&request.repeat(100)).await.unwrap();
        output
    });
    server.state.begun(2).await;
    assert_eq!(post(server.address, "", &wait(0).replace("wait", "ended")).await.0, 200, "others are served");
    let begun = *server.state.begun.borrow();
    assert!(begun <= 2 + 4, "{begun} calls of a session limited to 2");
    server.state.go_on.add_permits(100);
    let mut received = vec![0; 100 * r#"..{"jsonrpc":"2.0","id":1,"result":1}"#.len()];
    within("replies", input.read_exact(&mut received)).await.unwrap();
    within("the requests", sending).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_leaves_replies_unread_is_not_read() {
    let server = Running::start(Limits::default()).await;
    let peer = Peer::connect(server.address).await;
    let (mut input, mut output) = peer.0.into_split();
    let reply_bytes = 20_000;
    let request = text_frame(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"repeat","params":["0123456789",{}]}}{}"#,
        reply_bytes / 10,
        " ".repeat(10_000)
    ));
    let requests = 2_000;
    let (sent, progress) = watch::channel(0);
    let sending = tokio::spawn(async move {
        for _ in 0..requests {
            output.write_all(&request).await.unwrap();
            sent.send_modify(|sent| *sent += 1);
        }
        output
    });
    // Neither 20 MB of requests nor 40 MB of replies fit into the sockets' buffers.
    let mut stalled = progress.clone();
    while tokio::time::timeout(Duration::from_millis(500), stalled.changed()).await.is_ok_and(|moved| moved.is_ok()) {}
    assert!(*progress.borrow() < requests, "the server read every request although no reply was read");
    let mut received = 0;
    let mut buffer = vec![0; 1 << 20];
    while received < requests * reply_bytes {
        received += within("replies", input.read(&mut buffer)).await.unwrap();
    }
    within("the requests", sending).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_the_calls_of_a_session_and_says_goodbye() {
    let server = Running::start(Limits::default()).await;
    let mut peer = Peer::connect(server.address).await;
    let mut idle = Peer::connect(server.address).await;
    peer.send(&wait(7)).await;
    server.state.begun(1).await;
    server.begin_stop();
    assert_eq!(idle.receive().await, None, "a session without calls ends at once");
    server.state.go_on.add_permits(1);
    assert_eq!(peer.receive().await.as_deref(), Some(r#"{"jsonrpc":"2.0","id":7,"result":1}"#));
    assert_eq!(peer.receive().await, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_a_server_that_is_cut_off() {
    let server = Running::start(Limits::default()).await;
    let state = std::sync::Arc::clone(&server.state);
    let mut waiting = Peer::connect(server.address).await;
    waiting.send(&wait(1)).await;
    state.begun(1).await;
    // This one does not read, so that the session is stuck in a write.
    let mut stuck = Peer::connect(server.address).await;
    stuck.send(&wait(2)).await;
    state.begun(2).await;
    for _ in 0..4 {
        stuck.send(r#"{"jsonrpc":"2.0","id":1,"method":"repeat","params":["0123456789",800000]}"#).await;
    }
    within("a reply", stuck.0.peek(&mut [0])).await.unwrap();
    server.cut().await;
    let left = || std::sync::Arc::strong_count(&state);
    within("the end of every task", async {
        while left() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
