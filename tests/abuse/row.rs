//! One row of the table: the attackers' process, and what is measured beside it.

use std::{
    env,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use crate::{
    Form, SLOWER,
    attacks::{ATTACKS, Attack, Target},
    callers::{Callers, Tally},
    server::Server,
};

/// The argument that makes this program the attacker.
pub(crate) const ATTACK: &str = "--attack";
/// What the program may take of memory at most, in MB.
const MEMORY: f64 = 200.0;
/// An attack is called off at so much, which has failed and would take the whole machine down.
const CALLED_OFF: f64 = 1_000.0;
/// The attackers end by themselves within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// The program has let go of all that the attackers held within this time.
const SETTLED: Duration = Duration::from_secs(5);

/// Why a row is repeated, so many times in all.
const TOO_SLOW: &str = "ordinary calls are too slow";
const TIMES: usize = 3;
/// What is normal is what was so in the last undisturbed calls.
const NORMAL: usize = 3_000;
/// A new program is left alone for so many rows' quiet time.
const QUIET: usize = 8;

/// The program, its callers, and what they are like undisturbed.
struct Trial {
    server: Server,
    callers: Callers,
    descriptors: usize,
}

impl Trial {
    async fn begin(form: Form) -> Self {
        let server = Server::start(form.server).await;
        let callers = Callers::start(&server).await;
        // The first calls of a connection are slower.
        sleep(form.quiet).await;
        callers.turn().await;
        Self { server, callers, descriptors: usize::MAX }
    }

    /// Leaves the program alone for a while, to know what is normal.
    async fn quiet(&mut self, form: Form, normal: &mut Tally) {
        self.callers.turn().await;
        sleep(form.quiet).await;
        let quiet = self.callers.turn().await;
        // A call that opens a connection at this moment may count; the least is what stays.
        self.descriptors = self.descriptors.min(self.server.descriptors());
        assert!(quiet.failed.is_none(), "undisturbed: {:?}", quiet.failed);
        normal.add(quiet, NORMAL);
    }
}

/// Runs the rows and prints them as they end; true if all hold.
pub(crate) async fn run(rows: &[(usize, &Attack)], form: Form) -> bool {
    let begun = Instant::now();
    let (mut trial, mut normal) = (Trial::begin(form).await, Tally::default());
    for _ in 0..QUIET {
        trial.quiet(form, &mut normal).await;
    }
    println!(
        "\nundisturbed: p99 {} us (at most {SLOWER} times that below, or {:?}), RSS {:.0} MB (at most {MEMORY} below), {} descriptors besides the callers'\n",
        normal.p99().as_micros(),
        form.short,
        trial.server.resident(),
        trial.descriptors
    );
    println!(
        "{:<30} {:<10} {:<60} {:>6} {:>16} {:>7} {:>9}  ok",
        "attack", "wire", "what the server said", "calls", "p99 us", "RSS MB", "fds"
    );
    let mut failed = 0;
    for (number, attack) in rows {
        let (mut wrong, mut calls) = (Vec::new(), Tally::default());
        for _ in 0..TIMES {
            trial.quiet(form, &mut normal).await;
            wrong = trial.row(*number, attack, &mut calls, form, normal.p99()).await;
            for reason in &wrong {
                println!("{:<30} {:<10} ^ {reason}", "", "");
            }
            if wrong != [TOO_SLOW] {
                break;
            }
        }
        if !wrong.is_empty() {
            failed += 1;
            drop(trial);
            trial = Trial::begin(form).await;
        }
    }
    println!("\n{} rows, {failed} failed, {:.0?}", rows.len(), begun.elapsed());
    failed == 0
}

impl Trial {
    /// Runs and prints a row, with the calls of its earlier times; what was wrong with it.
    async fn row(
        &mut self,
        number: usize,
        attack: &Attack,
        calls: &mut Tally,
        form: Form,
        normal: Duration,
    ) -> Vec<String> {
        self.server.forget_peak();
        self.callers.turn().await;
        let said = self.attacked(number, form).await;
        calls.add(self.callers.turn().await, usize::MAX);
        let settled = self.settled().await;
        let (p99, peak) = (calls.p99(), self.server.peak());
        let slow = p99 > normal.mul_f64(SLOWER).max(form.short);
        let wrong = self.wrong(said.as_ref().err(), calls, slow, peak, settled);
        let times = p99.as_secs_f64() / normal.as_secs_f64();
        println!(
            "{:<30} {:<10} {:<60} {:>6} {:>9} ({times:>3.1}x) {peak:>7.0} {:>4} {:<4}  {}",
            attack.name,
            attack.wire.name(),
            said.as_deref().unwrap_or("-"),
            calls.calls(),
            p99.as_micros(),
            self.descriptors,
            match settled.checked_sub(self.descriptors) {
                Some(more @ 1..) => format!("+{more}"),
                _ => String::new(),
            },
            if wrong.is_empty() { "ok" } else { "NO" },
        );
        wrong
    }

    fn wrong(&mut self, unsaid: Option<&String>, calls: &Tally, slow: bool, peak: f64, settled: usize) -> Vec<String> {
        let failed = calls.failed.as_ref().map(|(first, count)| format!("{count} ordinary calls failed: {first}"));
        let checks = [
            unsaid.cloned(),
            self.server.trouble(),
            failed,
            slow.then(|| TOO_SLOW.to_owned()),
            (peak >= MEMORY).then(|| format!("{peak:.0} MB of memory")),
            (settled > self.descriptors).then(|| format!("{settled} descriptors {SETTLED:?} after the attack")),
        ];
        checks.into_iter().flatten().collect()
    }

    /// Runs the attackers: what the server said to them, or what was wrong with that.
    async fn attacked(&self, number: usize, form: Form) -> Result<String, String> {
        let attackers = Command::new("chrt")
            .args(form.attackers)
            .arg(env::current_exe().unwrap())
            .args([ATTACK, &number.to_string(), &self.server.address(ATTACKS[number].wire).to_string()])
            .arg(form.attack.as_millis().to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let too_much = async {
            while self.server.resident() < CALLED_OFF {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let output = tokio::select! {
            output = timeout(PATIENCE, attackers.wait_with_output()) => output,
            () = too_much => return Err(format!("called off at {CALLED_OFF} MB")),
        };
        let output = output.map_err(|_| format!("the attackers hang after {PATIENCE:?}"))?.unwrap();
        let said = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        if output.status.success() { Ok(said) } else { Err(format!("not refused: {said}")) }
    }

    /// How many descriptors are open once there are no more than before, or when the time is over.
    async fn settled(&self) -> usize {
        let begun = Instant::now();
        loop {
            let open = self.server.descriptors();
            if open <= self.descriptors || begun.elapsed() > SETTLED {
                return open;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The attackers' process: prints what the server said.
pub(crate) fn attack(number: &str, address: &str, ms: &str) -> bool {
    let attack = &ATTACKS[number.parse::<usize>().unwrap()];
    let time = Duration::from_millis(ms.parse().unwrap());
    let target = Target { wire: attack.wire, address: address.parse().unwrap(), time };
    let said = (attack.run)(&target);
    match &said {
        Ok(said) => println!("{said}"),
        Err(error) => println!("{error}"),
    }
    said.is_ok()
}
