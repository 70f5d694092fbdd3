//! The lock that many a page on Redis shows, as it is written there.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::sleep,
};

use everywire_testing::soon;

/// A plain connection to Redis.
pub(crate) struct Connection(BufReader<TcpStream>);

/// What Redis answers: nothing is nil.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Nil,
    Text(String),
    Number(i64),
    List(Vec<Self>),
}

impl Connection {
    pub(crate) async fn to(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) async fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        let words: Vec<_> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        self.0.write_all(format!("*{}\r\n{}", words.len(), words.concat()).as_bytes()).await?;
        soon("an answer of Redis", Box::pin(self.reply())).await
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let (kind, rest) = line.trim_end().split_at_checked(1).ok_or(io::ErrorKind::UnexpectedEof)?;
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match (kind, rest) {
            ("$" | "*", "-1") => Reply::Nil,
            (":", _) => Reply::Number(number()?),
            ("$", _) => {
                let mut text = vec![0; usize::try_from(number()?).unwrap() + 2];
                self.0.read_exact(&mut text).await?;
                Reply::Text(String::from_utf8(text).unwrap().trim_end().to_owned())
            }
            ("*", _) => {
                let mut list = Vec::new();
                for _ in 0..number()? {
                    list.push(Box::pin(self.reply()).await?);
                }
                Reply::List(list)
            }
            _ => Reply::Text(rest.to_owned()),
        })
    }
}

/// The textbook's locks, over a connection.
pub(crate) struct TextbookLock(pub(crate) Connection);

impl TextbookLock {
    /// At `HOST:PORT`.
    pub(crate) async fn at(host: &str) -> io::Result<Self> {
        Connection::to(host).await.map(Self)
    }

    /// `SETNX` and then `EXPIRE`; a waiter that sees a TTL of 0 sets it again, and asks again after a millisecond.
    pub(crate) async fn acquire(&mut self, lock: &str, owner: &str, seconds: u64, wait: Duration) -> io::Result<bool> {
        let (end, seconds) = (Instant::now() + wait, seconds.to_string());
        while Instant::now() < end {
            if self.0.ask(&["SETNX", lock, owner]).await? == Reply::Number(1) {
                self.0.ask(&["EXPIRE", lock, &seconds]).await?;
                return Ok(true);
            }
            if self.0.ask(&["TTL", lock]).await? == Reply::Number(0) {
                self.0.ask(&["EXPIRE", lock, &seconds]).await?;
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(false)
    }

    /// Deletes the lock if it is still the owner's, by `WATCH`; without `UNWATCH` if it isn't.
    pub(crate) async fn release(&mut self, lock: &str, owner: &str) -> io::Result<bool> {
        self.0.ask(&["WATCH", lock]).await?;
        if self.0.ask(&["GET", lock]).await? != Reply::Text(owner.to_owned()) {
            return Ok(false);
        }
        self.0.ask(&["MULTI"]).await?;
        self.0.ask(&["DEL", lock]).await?;
        Ok(self.0.ask(&["EXEC"]).await? != Reply::Nil)
    }
}
