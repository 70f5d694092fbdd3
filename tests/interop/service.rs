//! What is called in the matrix. Foreign servers have it too, see `tests/foreign/service.py`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use everywire::{
    Code, Context, Result, RpcError, Trace,
    schemars::{self, JsonSchema},
    serde::{Deserialize, Serialize},
};
use tokio::{
    sync::{Barrier, watch},
    time::{sleep, timeout},
};

/// How many calls meet.
pub(crate) const TOGETHER: usize = 4;

/// Longer than any client takes from its first call to its last of those that meet.
const MEETING_TIME: Duration = Duration::from_secs(20);

/// Gives back what it gets.
#[everywire::service(package = "interop.v1")]
pub(crate) trait Interop {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// A signed integer.
    async fn int(&self, value: i64) -> Result<i64>;
    /// An unsigned integer.
    async fn uint(&self, value: u64) -> Result<u64>;
    /// A text or nothing.
    async fn maybe(&self, value: Option<String>) -> Result<Option<String>>;
    /// A text.
    async fn text(&self, value: String) -> Result<String>;
    /// Bytes.
    async fn blob(&self, value: Blob) -> Result<Blob>;
    /// Structs in structs in a list.
    async fn nest(&self, value: Vec<Outer>) -> Result<Vec<Outer>>;
    /// Fails with `NOT_FOUND` and this message.
    async fn fail(&self, message: String) -> Result<()>;
    /// Is answered once four calls with this name are in it.
    async fn meet(&self, name: String) -> Result<u32>;
    /// The metadata of this call that has this name.
    async fn metadata(&self, cx: &Context, name: String) -> Result<Option<String>>;
    /// The trace of this call: `traceparent`, a space, `tracestate`.
    async fn trace(&self, cx: &Context) -> Result<Option<String>>;
    /// Fails after 20 s, unless something ends it before.
    async fn linger(&self, cx: &Context, name: String) -> Result<u32>;
    /// Is answered with 1 once a call of `linger` with this name has begun.
    async fn lingering(&self, name: String) -> Result<u32>;
    /// Is answered once that call has been ended, with two times in milliseconds: what was left until its deadline when it began, 0
    /// if it had none, and how long it was in the method.
    async fn lingered(&self, name: String) -> Result<Vec<u32>>;
}

/// Bytes, as serde calls them: base64 in XML, bin in `MessagePack`, a list of numbers in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Blob(
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub(crate) Vec<u8>,
);

/// A struct around another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Outer {
    pub(crate) name: String,
    pub(crate) inner: Inner,
}

/// The struct inside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Inner {
    pub(crate) number: i64,
    pub(crate) labels: Vec<String>,
}

/// The implementation.
#[derive(Default)]
pub(crate) struct Mirror {
    meetings: Mutex<HashMap<String, Arc<Barrier>>>,
    lingering: Mutex<HashMap<String, watch::Sender<Stage>>>,
}

/// How far a call of `linger` is.
#[derive(Default)]
enum Stage {
    #[default]
    Awaited,
    Begun,
    Ended(Vec<u32>),
}

/// A call of `linger`, until it is dropped.
struct Lingering {
    stage: watch::Sender<Stage>,
    begun: Instant,
    time_left: Option<Duration>,
}

impl Lingering {
    fn begin(stage: watch::Sender<Stage>, time_left: Option<Duration>) -> Self {
        stage.send_replace(Stage::Begun);
        Self { stage, begun: Instant::now(), time_left }
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.begun.elapsed() >= MEETING_TIME {
            return; // It ended by itself.
        }
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap();
        let times = vec![self.time_left.map_or(0, ms), ms(self.begun.elapsed())];
        self.stage.send_replace(Stage::Ended(times));
    }
}

impl Mirror {
    fn stage(&self, name: String) -> watch::Sender<Stage> {
        self.lingering.lock().unwrap().entry(name).or_default().clone()
    }

    /// Waits until the call of `linger` with this name is as far as `found` says.
    async fn until<T>(&self, name: String, found: impl Fn(&Stage) -> Option<T>) -> Result<T> {
        let stages = self.stage(name);
        let mut stages = stages.subscribe();
        match timeout(MEETING_TIME, stages.wait_for(|stage| found(stage).is_some())).await {
            Ok(stage) => Ok(found(&stage.unwrap()).unwrap()),
            Err(_) => Err(RpcError::new(Code::DeadlineExceeded, "the call of `linger` is not so far")),
        }
    }
}

impl Interop for Mirror {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }

    async fn int(&self, value: i64) -> Result<i64> {
        Ok(value)
    }

    async fn uint(&self, value: u64) -> Result<u64> {
        Ok(value)
    }

    async fn maybe(&self, value: Option<String>) -> Result<Option<String>> {
        Ok(value)
    }

    async fn text(&self, value: String) -> Result<String> {
        Ok(value)
    }

    async fn blob(&self, value: Blob) -> Result<Blob> {
        Ok(value)
    }

    async fn nest(&self, value: Vec<Outer>) -> Result<Vec<Outer>> {
        Ok(value)
    }

    async fn fail(&self, message: String) -> Result<()> {
        Err(RpcError::not_found(message))
    }

    async fn meet(&self, name: String) -> Result<u32> {
        let meeting =
            Arc::clone(self.meetings.lock().unwrap().entry(name).or_insert_with(|| Arc::new(Barrier::new(TOGETHER))));
        match timeout(MEETING_TIME, meeting.wait()).await {
            Ok(_) => Ok(u32::try_from(TOGETHER).unwrap()),
            Err(_) => Err(RpcError::new(Code::DeadlineExceeded, "the others did not come")),
        }
    }

    async fn metadata(&self, cx: &Context, name: String) -> Result<Option<String>> {
        Ok(cx.metadata.get(&name).map(str::to_owned))
    }

    async fn trace(&self, cx: &Context) -> Result<Option<String>> {
        let text = |trace: &Trace| format!("{trace} {}", trace.state().unwrap_or_default());
        Ok(cx.trace.as_ref().map(text))
    }

    async fn linger(&self, cx: &Context, name: String) -> Result<u32> {
        let _lingering = Lingering::begin(self.stage(name), cx.time_left());
        sleep(MEETING_TIME).await;
        Err(RpcError::new(Code::Aborted, "nobody ended the call"))
    }

    async fn lingering(&self, name: String) -> Result<u32> {
        self.until(name, |stage| (!matches!(stage, Stage::Awaited)).then_some(1)).await
    }

    async fn lingered(&self, name: String) -> Result<Vec<u32>> {
        let ended = |stage: &Stage| if let Stage::Ended(times) = stage { Some(times.clone()) } else { None };
        self.until(name, ended).await
    }
}
