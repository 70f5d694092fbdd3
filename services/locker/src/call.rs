//! One message: a call of `acquire`, whose permit becomes a word.

use std::{iter, sync::Arc};

use everywire_core::{
    Context, Result, RpcError,
    descriptor::Method,
    wire::{Call, decode_again},
};
use everywire_zmtp::{Envelope, Reply};
use serde::{
    Serialize,
    de::{
        DeserializeOwned,
        value::{Error, MapDeserializer},
    },
};

use crate::schema::{GO, RESOURCE};

/// The permit is granted.
const YES: &[u8] = b"go";
/// It is not granted.
pub(crate) const NO: &[u8] = b"sorry";

/// One message, without its content.
pub(crate) struct LockerCall {
    pub(crate) envelope: Envelope,
    pub(crate) method: &'static Method,
    pub(crate) resource: Arc<str>,
    pub(crate) context: Context,
}

impl Call for LockerCall {
    type Reply = Reply;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let arguments = || MapDeserializer::<_, Error>::new(iter::once((RESOURCE, &*self.resource)));
        A::deserialize(arguments()).or_else(|_| decode_again(arguments()))
    }

    fn context(&mut self) -> Result<&mut Context> {
        Ok(&mut self.context)
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Reply {
        let go = outcome.and_then(|permit| goes(&permit)).unwrap_or_else(|error| {
            tracing::warn!(%error, resource = &*self.resource, "locker says sorry instead of an error");
            false
        });
        Reply::new(self.envelope.clone(), if go { YES } else { NO }.to_vec())
    }
}

/// The field `go` of a permit. A permit that can't be serialized is an error of the service.
fn goes<R: Serialize>(permit: &R) -> Result<bool> {
    let permit = serde_json::to_value(permit).map_err(RpcError::internal)?;
    permit[GO].as_bool().ok_or_else(|| RpcError::internal("a permit without `go`"))
}
