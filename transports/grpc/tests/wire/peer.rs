//! A peer that speaks HTTP/2 by hand (RFC 9113), client or server.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::demo::within;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// The flag `END_STREAM`, or ACK of PING and SETTINGS.
pub(crate) const END: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
pub(crate) const REFUSED_STREAM: u32 = 7;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// Whether it answers PINGs.
    pub(crate) pongs: bool,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn is(&self, kind: u8, stream: u32) -> bool {
        self.kind == kind && self.stream == stream
    }

    /// The code of `RST_STREAM`, or of GOAWAY after the last stream's number.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(*self.payload[at..].first_chunk().unwrap())
    }

    pub(crate) fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM || matches!(self.kind, HEADERS | DATA) && self.flags & END != 0
    }
}

impl Peer {
    /// A client that has sent its preface.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, b"").await
    }

    /// A client whose windows are closed.
    pub(crate) async fn without_window(address: SocketAddr) -> Self {
        Self::connect_with(address, &initial_window(0)).await
    }

    async fn connect_with(address: SocketAddr, settings: &[u8]) -> Self {
        let mut peer = Self { stream: TcpStream::connect(address).await.unwrap(), pongs: true };
        peer.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await;
        peer
    }

    /// A server that has received a call on stream 1.
    pub(crate) async fn called(mut stream: TcpStream) -> Self {
        let mut preface = [0; PREFACE.len()];
        within(stream.read_exact(&mut preface)).await.unwrap();
        let mut peer = Self { stream, pongs: true };
        peer.send(&frame(SETTINGS, 0, 0, b"")).await;
        peer.until(|frame| frame.stream == 1 && frame.ends_stream()).await;
        peer
    }

    pub(crate) async fn send(&mut self, frames: &[u8]) {
        within(self.stream.write_all(frames)).await.unwrap();
    }

    /// The next frame, or `None` at the end. Acknowledges SETTINGS and, if `pongs` is set, PINGs.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frame = within(read(&mut self.stream)).await?;
        let asks = frame.kind == SETTINGS || frame.kind == PING && self.pongs;
        if asks && frame.flags & END == 0 {
            let ack = if frame.kind == PING { &frame.payload[..] } else { b"" };
            let _ = self.stream.write_all(&self::frame(frame.kind, END, 0, ack)).await;
        }
        Some(frame)
    }

    /// Sends and reads at the same time, up to the frame that is `last` or the end.
    pub(crate) async fn flood(&mut self, frames: &[u8], last: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let (mut reader, mut writer) = self.stream.split();
        let sending = async {
            let _ = writer.write_all(frames).await;
            std::future::pending().await
        };
        let reading = async {
            let mut heard = vec![];
            while let Some(frame) = read(&mut reader).await {
                heard.push(frame);
                if last(&heard[heard.len() - 1]) {
                    break;
                }
            }
            heard
        };
        within(async {
            tokio::select! {
                heard = reading => heard,
                heard = sending => heard,
            }
        })
        .await
    }

    /// The next frame that is `wanted`.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> impl Future<Output = Frame> {
        let caller = std::panic::Location::caller();
        within(async move {
            loop {
                match self.next().await {
                    Some(frame) if wanted(&frame) => return frame,
                    Some(_) => {}
                    None => panic!("{caller}: closed"),
                }
            }
        })
    }

    /// All frames until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = vec![];
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// Waits until the other side has handled everything that was sent so far.
    pub(crate) async fn round_trip(&mut self) {
        // Responses to frames that are read together with a PING may follow its answer; a second PING waits for them.
        for payload in [b"everyone", b"was here"] {
            self.send(&frame(PING, 0, 0, payload)).await;
            self.until(|frame| frame.is(PING, 0) && frame.flags == END && frame.payload == payload).await;
        }
    }
}

async fn read(reader: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    reader.read_exact(&mut payload).await.ok()?;
    Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The setting of the window that new streams have.
pub(crate) fn initial_window(bytes: u32) -> Vec<u8> {
    [&4u16.to_be_bytes()[..], &bytes.to_be_bytes()].concat()
}

pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A block of headers as they are: not indexed, not compressed.
pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap();
    let header = |(name, value): &(&str, &str)| {
        [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    headers.iter().flat_map(header).collect()
}

/// The headers of a call, whose body follows.
pub(crate) fn head(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request_block(path, "localhost"))
}

pub(crate) fn request_block(path: &str, authority: &str) -> Vec<u8> {
    block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

/// A whole call.
pub(crate) fn call(stream: u32, path: &str, body: &[u8]) -> Vec<u8> {
    [head(stream, path), frame(DATA, END, stream, &message(body))].concat()
}

/// A call for a reply of so many bytes.
pub(crate) fn long(stream: u32, bytes: u32) -> Vec<u8> {
    let mut varint = vec![];
    let mut rest = bytes;
    while rest >= 0x80 {
        varint.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    varint.push(rest.to_le_bytes()[0]);
    call(stream, "/test.v1.Demo/Long", &[&[8], &varint[..]].concat())
}

pub(crate) fn message(body: &[u8]) -> Vec<u8> {
    [&prefix(u32::try_from(body.len()).unwrap())[..], body].concat()
}

/// The prefix of a message of so many bytes.
pub(crate) fn prefix(bytes: u32) -> [u8; 5] {
    let [a, b, c, d] = bytes.to_be_bytes();
    [0, a, b, c, d]
}

/// The numbers of a client's first streams.
pub(crate) fn streams(count: u32) -> impl Iterator<Item = u32> + Clone {
    (0..count).map(|number| 2 * number + 1)
}
