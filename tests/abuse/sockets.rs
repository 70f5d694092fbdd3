//! The machine's TCP connections over IPv4, as the kernel lists them in `/proc/net/tcp`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
};

/// One end of a connection.
pub(crate) struct Socket {
    pub(crate) here: SocketAddrV4,
    pub(crate) there: SocketAddrV4,
    /// Neither this end nor the other has closed.
    pub(crate) is_open: bool,
    /// As `/proc/PID/fd` names it.
    pub(crate) file: String,
}

/// Both ends of every connection.
pub(crate) fn all() -> Vec<Socket> {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel lists its connections");
    table.lines().filter_map(socket).collect()
}

fn socket(line: &str) -> Option<Socket> {
    const ESTABLISHED: &str = "01";
    let columns: Vec<_> = line.split_whitespace().collect();
    let [_, here, there, state, _, _, _, _, _, inode, ..] = columns[..] else { return None };
    let file = format!("socket:[{inode}]");
    Some(Socket { here: address(here)?, there: address(there)?, is_open: state == ESTABLISHED, file })
}

/// An address as the number that it is in memory, and a port: `0100007F:1092`.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    Some(SocketAddrV4::new(Ipv4Addr::from(ip), u16::from_str_radix(port, 16).ok()?))
}
