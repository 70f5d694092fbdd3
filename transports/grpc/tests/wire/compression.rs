//! Compressed requests and replies.

use std::io::{Read, Write};

use everywire_core::{Code, Limit, Limits};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use crate::{
    demo::Running,
    peer::message,
    requests::{GRPC, Header, send},
};

const ADD: &str = "/test.v1.Demo/Add";
const TEXT: &str = "/test.v1.Demo/Text";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const GZIP: (&str, &str) = ("grpc-encoding", "gzip");
const ACCEPT: (&str, &str) = ("grpc-accept-encoding", "identity, deflate, gzip");

/// `body` as a compressed message with its prefix.
pub(crate) fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    let mut framed = message(&encoder.finish().unwrap());
    framed[0] = 1;
    framed
}

#[tokio::test]
async fn gzip_is_read() {
    let server = Running::start().await;
    let request = compressed(&[8, 3, 16, 4]);
    let half = request.len() / 2;
    for pieces in [vec![&request[..]], vec![&request[..1], &request[1..7], &request[7..half], &request[half..]]] {
        let answer = send(server.address, ADD, &[GRPC, GZIP], &pieces).await;
        assert_eq!(answer.body, message(&[8, 7]));
    }
    let check = send(server.address, CHECK, &[GRPC, GZIP], &[&compressed(b"\x0a\x0ctest.v1.Demo")]).await;
    assert_eq!(check.body, message(&[8, 1]));
    for encoding in ["gzip", "identity", "snappy"] {
        let answer = send(server.address, ADD, &[GRPC, ("grpc-encoding", encoding)], &[&message(&[8, 7])]).await;
        assert_eq!(answer.body, message(&[8, 7]), "a message without the flag: {encoding}");
    }
    assert_eq!(server.budget.bytes(), 0);
}

#[tokio::test]
async fn an_unreadable_compression_is_answered_with_the_readable_ones() {
    let server = Running::at("127.0.0.1:0", Limits { decompressed_bytes: 10_000, ..Default::default() }).await;
    let good = compressed(&[8, 3]);
    let cut = [&[1], &message(&good[5..good.len() - 5])[1..]].concat();
    let bomb = compressed(&vec![0; 1 << 20]);
    assert!(bomb.len() < 4_000);
    let encoding = |name| [GRPC, ("grpc-encoding", name)];
    #[rustfmt::skip]
    let cases: [(&str, &[Header], &[u8], Code); 10] = [
        (ADD, &[GRPC], &good, Code::Internal),
        (ADD, &encoding("identity"), &good, Code::Internal),
        (ADD, &encoding("snappy"), &good, Code::Unimplemented),
        (ADD, &encoding("deflate"), &good, Code::Unimplemented),
        (ADD, &encoding("gzip"), &[1, 0, 0, 0, 2, 8, 3], Code::Internal),
        (ADD, &encoding("gzip"), &[1, 0, 0, 0, 0], Code::Internal),
        (ADD, &encoding("gzip"), &cut, Code::Internal),
        (ADD, &encoding("gzip"), &bomb, Code::ResourceExhausted),
        (CHECK, &encoding("snappy"), &good, Code::Unimplemented),
        (CHECK, &encoding("gzip"), &bomb, Code::ResourceExhausted),
    ];
    for (path, headers, body, code) in cases {
        let answer = send(server.address, path, headers, &[body]).await;
        let status = answer.grpc_status();
        assert_eq!(i32::from(status.code()), code.number(), "{path} {headers:?} {body:?}: {status}");
        let accepted = answer.headers.get("grpc-accept-encoding").map(|value| value.to_str().unwrap());
        assert_eq!(accepted, Some("identity,gzip"), "{path} {headers:?}");
    }
    assert_eq!(server.budget.met(Limit::DecompressedBytes), 1);
    server.recovers().await;
}

#[tokio::test]
async fn a_long_reply_is_compressed_if_its_request_names_gzip() {
    let server = Running::start().await;
    let long = [&[0x0a, 0xd0, 0x0f][..], &[b'x'; 2_000]].concat();
    let short = [&[0x0a, 0x64][..], &[b'x'; 100]].concat();
    let cases: [(&[_], &[u8], bool); 5] = [
        (&[GRPC, GZIP, ACCEPT], &long, true),
        (&[GRPC, GZIP, ACCEPT], &short, false),
        (&[GRPC, GZIP], &long, false),
        (&[GRPC, ACCEPT], &long, false),
        (&[GRPC], &long, false),
    ];
    for (headers, text, is_compressed) in cases {
        let answer = send(server.address, TEXT, headers, &[&message(text)]).await;
        assert_eq!(answer.grpc_status().code(), tonic::Code::Ok);
        let (prefix, reply) = answer.body.split_at(5);
        assert_eq!(answer.headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip"), is_compressed);
        assert_eq!((prefix[0], answer.body.len() < 200), (u8::from(is_compressed), is_compressed || text.len() < 200));
        assert_eq!(u32::from_be_bytes(*prefix[1..].first_chunk().unwrap()) as usize, reply.len());
        let mut whole = vec![];
        if is_compressed {
            GzDecoder::new(reply).read_to_end(&mut whole).unwrap();
        }
        assert_eq!(if is_compressed { &whole } else { reply }, text, "{headers:?}");
    }
}
