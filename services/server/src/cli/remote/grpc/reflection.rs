//! The schema of a server from its reflection service, `v1` or the older `v1alpha`.
//!
//! Both have the same messages. Each question is asked in a stream of its own, because some servers answer only the first one.
//!
//! Specification: [reflection.proto](https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto).

use std::collections::BTreeMap;

use everywire::{Code, Result, RpcError};
use prost_reflect::{DescriptorPool, prost::Message, prost_types::FileDescriptorProto};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use super::{
    client::{Grpc, error},
    schema::Schema,
};

/// The paths of the service, the newest first.
const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The most files that describe a server.
const MOST_FILES: usize = 1_000;

/// The most bytes of these files.
const MOST_BYTES: usize = 32 << 20;

/// The schema that the server's reflection has.
pub(super) async fn reflected(server: &Grpc) -> Result<Schema> {
    let (path, services) = list(server).await?;
    let mut files = Files { server, path, found: BTreeMap::new(), bytes: 0 };
    for service in &services {
        files.add_service(service).await?;
    }
    files.add_imports().await?;
    let mut pool = DescriptorPool::new();
    let files = files.found.into_values();
    pool.add_file_descriptor_protos(files).map_err(|error| unreadable(&error))?;
    Ok(Schema { pool, services })
}

/// The path of the reflection service, and the names of all services.
async fn list(server: &Grpc) -> Result<(&'static str, Vec<String>)> {
    for path in PATHS {
        match ask(server, path, MessageRequest::ListServices(String::new())).await {
            Ok(MessageResponse::ListServicesResponse(list)) => {
                return Ok((path, list.service.into_iter().map(|service| service.name).collect()));
            }
            Ok(_) => return Err(unreadable(&"it does not list its services")),
            Err(error) if error.code() == Code::Unimplemented => {}
            Err(error) => return Err(error),
        }
    }
    Err(RpcError::unimplemented("the server has no reflection; give its schema with --proto FILE"))
}

/// The files found so far.
struct Files<'a> {
    server: &'a Grpc,
    path: &'static str,
    found: BTreeMap<String, FileDescriptorProto>,
    bytes: usize,
}

impl Files<'_> {
    /// Adds the file of a service. Some servers list services of which they have no file.
    async fn add_service(&mut self, name: &str) -> Result<()> {
        match self.add(MessageRequest::FileContainingSymbol(name.to_owned())).await {
            Err(error) if error.code() == Code::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// Adds what the files import, until nothing is missing.
    async fn add_imports(&mut self) -> Result<()> {
        while let Some(name) = self.missing() {
            match self.add(MessageRequest::FileByFilename(name.clone())).await {
                Ok(()) if self.found.contains_key(&name) => {}
                Ok(()) => return Err(unreadable(&format_args!("{name} is missing"))),
                Err(error) => {
                    // Servers need not have Google's own files, which everyone has.
                    let known = DescriptorPool::global().get_file_by_name(&name).ok_or(error)?;
                    self.found.insert(name, known.file_descriptor_proto().clone());
                }
            }
        }
        Ok(())
    }

    fn missing(&self) -> Option<String> {
        let mut imports = self.found.values().flat_map(|file| &file.dependency);
        imports.find(|name| !self.found.contains_key(*name)).cloned()
    }

    /// Adds the files in the answer to a question.
    async fn add(&mut self, question: MessageRequest) -> Result<()> {
        let MessageResponse::FileDescriptorResponse(files) = ask(self.server, self.path, question).await? else {
            return Err(unreadable(&"it answers with no file"));
        };
        for bytes in files.file_descriptor_proto {
            self.bytes += bytes.len();
            let file = FileDescriptorProto::decode(&bytes[..]).map_err(|error| unreadable(&error))?;
            self.found.insert(file.name().to_owned(), file);
        }
        if self.found.len() > MOST_FILES || self.bytes > MOST_BYTES {
            return Err(RpcError::resource_exhausted("the server's reflection has too many files"));
        }
        Ok(())
    }
}

async fn ask(server: &Grpc, path: &str, question: MessageRequest) -> Result<MessageResponse> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut answers = server.ask(path, request.encode_to_vec()).await?;
    let answer = answers.message().await.map_err(|status| error(&status))?;
    let answer = answer.ok_or_else(|| unreadable(&"it does not answer"))?;
    let answer = ServerReflectionResponse::decode(&answer[..]).map_err(|error| unreadable(&error))?;
    match answer.message_response.ok_or_else(|| unreadable(&"an empty answer"))? {
        MessageResponse::ErrorResponse(error) => {
            let code = Code::from_number(error.error_code).unwrap_or(Code::Unknown);
            Err(RpcError::remote(code, format!("reflection: {}", error.error_message)))
        }
        answer => Ok(answer),
    }
}

fn unreadable(reason: &dyn std::fmt::Display) -> RpcError {
    RpcError::new(Code::Internal, format!("the server's reflection can't be read: {reason}"))
}
