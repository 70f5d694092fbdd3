//! Server reflection. A request that can't be answered gets an `error_response`, and the stream goes on.
//!
//! `v1` and `v1alpha` differ in their names only, so one service answers both.
//!
//! Specification: [reflection.proto](https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto).

mod files;

use std::{pin::Pin, sync::Arc};

use http::{Request as HttpRequest, Uri};
use prost_types::FileDescriptorProto;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming, async_trait};
use tonic_reflection::pb::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
    server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
    server_reflection_server::{ServerReflection, ServerReflectionServer},
};

use self::files::Files;

/// The older name of the same service.
pub(crate) const V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// Answers questions about its files.
pub(crate) struct Reflection {
    files: Arc<Files>,
}

/// The service that knows `files`.
pub(crate) fn reflection(files: &[FileDescriptorProto]) -> ServerReflectionServer<Reflection> {
    ServerReflectionServer::new(Reflection { files: Arc::new(Files::new(files)) })
}

/// Turns a request of [`V1ALPHA`] into one of `v1`.
pub(crate) fn from_v1alpha<B>(mut request: HttpRequest<B>) -> HttpRequest<B> {
    if request.uri().path() == "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" {
        *request.uri_mut() = Uri::from_static("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    }
    request
}

#[async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream = Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let files = Arc::clone(&self.files);
        // Reads the next question once the answer to the last one has been taken.
        let answers = request.into_inner().map(move |question| Ok(respond(&files, question?)));
        Ok(Response::new(Box::pin(answers)))
    }
}

fn respond(files: &Files, question: ServerReflectionRequest) -> ServerReflectionResponse {
    let answer = question.message_request.as_ref().map_or_else(
        || Err(Status::invalid_argument("an empty request; expected one of the fields of `message_request`")),
        |asked| answer(files, asked),
    );
    ServerReflectionResponse {
        valid_host: question.host.clone(),
        original_request: Some(question),
        message_response: Some(answer.unwrap_or_else(|status| {
            MessageResponse::ErrorResponse(ErrorResponse {
                error_code: status.code().into(),
                error_message: status.message().to_owned(),
            })
        })),
    }
}

fn answer(files: &Files, question: &MessageRequest) -> Result<MessageResponse, Status> {
    Ok(match question {
        MessageRequest::FileByFilename(name) => file(files.file(name), || format!("file `{name}`"))?,
        MessageRequest::FileContainingSymbol(name) => file(files.with_symbol(name), || format!("symbol `{name}`"))?,
        // proto3 extends nothing but options, and no file here does.
        MessageRequest::FileContainingExtension(extension) => {
            let what = || format!("extension {} of `{}`", extension.extension_number, extension.containing_type);
            file(None, what)?
        }
        MessageRequest::AllExtensionNumbersOfType(name) if files.has_message(name) => {
            let extension_number = vec![];
            let base_type_name = name.clone();
            MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse { base_type_name, extension_number })
        }
        MessageRequest::AllExtensionNumbersOfType(name) => file(None, || format!("message `{name}`"))?,
        MessageRequest::ListServices(_) => {
            let service = files.services().map(|name| ServiceResponse { name: name.to_owned() }).collect();
            MessageResponse::ListServicesResponse(ListServiceResponse { service })
        }
    })
}

/// No file here imports another, so one file is a complete answer.
fn file(found: Option<&[u8]>, what: impl FnOnce() -> String) -> Result<MessageResponse, Status> {
    let file = found.ok_or_else(|| Status::new(Code::NotFound, format!("unknown {}", what())))?;
    Ok(MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto: vec![file.to_vec()] }))
}
