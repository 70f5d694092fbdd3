//! Health and reflection, as the clients of other libraries read them.

use futures_util::FutureExt;
use prost::Message;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use crate::{
    demo::{Running, within},
    peer::{END, HEADERS, Peer, call, message},
    requests::{GRPC, send},
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

#[tokio::test]
async fn the_headers_of_an_error_end_the_stream() {
    let server = Running::start().await;
    let cases: [(&str, &[u8], i32); 9] = [
        (CHECK, b"\x0a\x07no.Such", 5),
        (CHECK, b"\x0a\x09cut", 13),
        ("/grpc.health.v1.Health/Nope", b"", 12),
        ("/grpc.health.v1.Health/Watch", b"\x0a\x09cut", 13),
        ("/grpc.reflection.v1.ServerReflection/Nope", b"", 12),
        ("/grpc.reflection.v1alpha.ServerReflection/Nope", b"", 12),
        ("/test.v1.Demo/Nope", b"", 12),
        ("/test.v1.Demo/Fail", &[8, 9], 9),
        ("/no.Such/Nope", b"", 12),
    ];
    for (path, body, code) in cases {
        let mut peer = Peer::connect(server.address).await;
        peer.send(&call(1, path, body)).await;
        let first = peer.until(|frame| frame.stream == 1).await;
        assert!(first.is(HEADERS, 1) && first.flags & END != 0, "{path} {body:?}: {first:?}");
        let answer = send(server.address, path, &[GRPC], &[&message(body)]).await;
        assert_eq!(answer.headers["grpc-status"], code.to_string(), "{path} {body:?}");
        assert_eq!(answer.headers["content-type"], "application/grpc", "{path} {body:?}");
    }
}

#[tokio::test]
async fn a_watch_of_an_unknown_service_stays_open() {
    let server = Running::start().await;
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let request = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "test.v1.Demo"] {
        assert_eq!(health.check(request(service)).await.unwrap().into_inner().status, 1, "SERVING");
    }
    let mut unknown = health.watch(request("no.Such")).await.unwrap().into_inner();
    let mut known = health.watch(request("test.v1.Demo")).await.unwrap().into_inner();
    assert_eq!(within(unknown.message()).await.unwrap().unwrap().status, 3, "SERVICE_UNKNOWN");
    assert_eq!(within(known.message()).await.unwrap().unwrap().status, 1, "SERVING");
    let mut next = Box::pin(unknown.message());
    assert_eq!(health.check(request("no.Such")).await.unwrap_err().code(), tonic::Code::NotFound);
    assert!(next.as_mut().now_or_never().is_none(), "it is open after a whole round trip");
    server.stop.cancel();
    assert_eq!(within(next).await.unwrap_err().code(), tonic::Code::Unavailable);
    assert_eq!(within(known.message()).await.unwrap().unwrap().status, 2, "NOT_SERVING");
}

/// The answers to `questions` in one stream.
async fn reflect(server: &Running, path: &str, questions: &[Option<MessageRequest>]) -> Vec<ServerReflectionResponse> {
    let question = |asked: &Option<MessageRequest>| {
        message(&ServerReflectionRequest { host: "h".into(), message_request: asked.clone() }.encode_to_vec())
    };
    let body: Vec<u8> = questions.iter().flat_map(question).collect();
    let answer = send(server.address, path, &[GRPC], &[&body]).await;
    assert_eq!(answer.grpc_status().code(), tonic::Code::Ok, "{path}");
    let (mut rest, mut answers) = (&answer.body[..], vec![]);
    while let Some(([0, length @ ..], after)) = rest.split_first_chunk::<5>() {
        let (first, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        answers.push(ServerReflectionResponse::decode(first).unwrap());
        rest = after;
    }
    assert_eq!(answers.len(), questions.len(), "{path}");
    for (answer, asked) in answers.iter().zip(questions) {
        assert_eq!(
            (answer.valid_host.as_str(), &answer.original_request.as_ref().unwrap().message_request),
            ("h", asked)
        );
    }
    answers
}

#[tokio::test]
async fn reflection_continues_after_a_question_that_it_can_not_answer() {
    let server = Running::start().await;
    let symbol = |name: &str| Some(MessageRequest::FileContainingSymbol(name.into()));
    let file = |name: &str| Some(MessageRequest::FileByFilename(name.into()));
    let numbers = |name: &str| Some(MessageRequest::AllExtensionNumbersOfType(name.into()));
    let extension = |name: &str| {
        let containing_type = name.to_owned();
        Some(MessageRequest::FileContainingExtension(ExtensionRequest { containing_type, extension_number: 1 }))
    };
    #[rustfmt::skip]
    let cases = [
        (symbol("no.Such"), Err(5)),
        (symbol(""), Err(5)),
        (symbol("test.v1"), Err(5)),
        (symbol("test.v1.Demo"), Ok("test/v1/Demo.proto")),
        (symbol("test.v1.Demo.Add"), Ok("test/v1/Demo.proto")),
        (symbol("test.v1.Demo.Nope"), Err(5)),
        (symbol("test.v1.AddRequest"), Ok("test/v1/Demo.proto")),
        (symbol("test.v1.AddRequest.a"), Ok("test/v1/Demo.proto")),
        (symbol("test.v1.Everything.CountsEntry"), Ok("test/v1/Demo.proto")),
        (symbol("test.v1.Colour"), Ok("test/v1/Demo.proto")),
        (symbol("test.v1.COLOUR_GREEN"), Ok("test/v1/Demo.proto")),
        (symbol("grpc.health.v1.HealthCheckResponse.ServingStatus"), Ok("health.proto")),
        (symbol("grpc.health.v1.Health.Watch"), Ok("health.proto")),
        (symbol("grpc.reflection.v1.ServerReflection"), Ok("reflection_v1.proto")),
        (file("no/such.proto"), Err(5)),
        (file("test/v1/Demo.proto"), Ok("test/v1/Demo.proto")),
        (numbers("no.Such"), Err(5)),
        (numbers("test.v1.Demo"), Err(5)),
        (numbers("test.v1.AddRequest"), Ok("")),
        (extension("no.Such"), Err(5)),
        (extension("test.v1.AddRequest"), Err(5)),
        (None, Err(3)),
        (Some(MessageRequest::ListServices(String::new())), Ok("")),
        (symbol("test.v1.Demo"), Ok("test/v1/Demo.proto")),
    ];
    let questions: Vec<_> = cases.iter().map(|(asked, _)| asked.clone()).collect();
    for path in [V1, V1ALPHA] {
        let answers = reflect(&server, path, &questions).await;
        for ((asked, expected), answer) in cases.iter().zip(answers) {
            let found = match answer.message_response.unwrap() {
                MessageResponse::ErrorResponse(error) => Err(error.error_code),
                MessageResponse::FileDescriptorResponse(files) => {
                    let [file] = &files.file_descriptor_proto[..] else { panic!("{asked:?}: {files:?}") };
                    Ok(prost_types::FileDescriptorProto::decode(&file[..]).unwrap().name().to_owned())
                }
                MessageResponse::AllExtensionNumbersResponse(numbers) => {
                    assert_eq!(
                        (numbers.base_type_name.as_str(), &numbers.extension_number[..]),
                        ("test.v1.AddRequest", &[][..])
                    );
                    Ok(String::new())
                }
                MessageResponse::ListServicesResponse(list) => {
                    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
                    let [health, alpha] = ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"];
                    assert_eq!(names, [health, "grpc.reflection.v1.ServerReflection", alpha, "test.v1.Demo"]);
                    Ok(String::new())
                }
            };
            assert_eq!(found.as_deref(), expected.as_ref().map(|name| *name), "{path} {asked:?}");
        }
    }
}
