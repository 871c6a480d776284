//! What an agent was told and may therefore tell: one account for each of its ranks.
//!
//! An agent is believed only as far as the protocol allows it at that point, so that a host that
//! has gone wrong can spoil nothing but its own ranks.

use crate::message::{Ended, ExitStatus, FromAgent, ToAgent};

/// Why something that an agent has told cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of rank {rank}")]
pub struct Breach {
    /// What it is.
    pub what: &'static str,
    /// Whose.
    pub rank: u32,
}

/// The accounts of an agent's ranks.
pub struct Ledger {
    /// In ascending order.
    ranks: Vec<u32>,
    accounts: Vec<Account>,
}

#[derive(Clone, Copy, Default)]
struct Account {
    running: bool,
    given: u64,
    consumed: u64,
    read: u64,
    printed: u64,
    complained: u64,
    output: Credit,
    diagnostics: Credit,
}

/// How much more may come.
#[derive(Clone, Copy, Default)]
struct Credit {
    left: i64,
    /// Credit not yet passed on.
    owed: usize,
    /// All that there is.
    window: usize,
}

impl Credit {
    /// Adds credit; returns how much of it is worth a message now.
    fn grant(&mut self, bytes: usize) -> Option<usize> {
        self.owed += bytes;
        self.window = self.window.max(self.owed);
        if self.owed < self.window.div_ceil(4) {
            return None;
        }
        let owed = std::mem::take(&mut self.owed);
        self.left = self.left.saturating_add(i64::try_from(owed).unwrap_or(i64::MAX));
        Some(owed)
    }

    /// Takes `bytes` of it; a copy's pipe may have been read once more than was left.
    fn take(&mut self, bytes: usize) -> bool {
        self.left -= i64::try_from(bytes).unwrap_or(i64::MAX);
        self.left > -(crate::buffers::BUFFER as i64)
    }
}

impl Ledger {
    /// Opens the accounts of `ranks`, in ascending order.
    pub fn new(ranks: Vec<u32>) -> Self {
        let accounts = vec![Account::default(); ranks.len()];
        Ledger { ranks, accounts }
    }

    fn account(&mut self, rank: u32) -> Option<&mut Account> {
        let at = self.ranks.binary_search(&rank).ok()?;
        self.accounts.get_mut(at)
    }

    /// Notes an order; returns it as it is to be sent, `None` when it can wait for more.
    pub fn ordered<'a>(&mut self, order: ToAgent<'a>) -> Option<ToAgent<'a>> {
        let account = order.rank().and_then(|rank| self.account(rank));
        let Some(account) = account else { return Some(order) };
        match order {
            ToAgent::Start { .. } => {
                let Account { output, diagnostics, .. } = *account;
                *account = Account { running: true, output, diagnostics, ..Account::default() };
            }
            ToAgent::Feed { bytes, .. } => account.given += bytes.len() as u64,
            ToAgent::Deal { ref range, .. } => account.given += range.end - range.start,
            ToAgent::OutputCredit { rank, bytes } => {
                let bytes = account.output.grant(bytes)?;
                return Some(ToAgent::OutputCredit { rank, bytes });
            }
            ToAgent::DiagnosticCredit { rank, bytes } => {
                let bytes = account.diagnostics.grant(bytes)?;
                return Some(ToAgent::DiagnosticCredit { rank, bytes });
            }
            _ => {}
        }
        Some(order)
    }

    /// Lets pass what the rank's account allows.
    ///
    /// A copy's end comes out with all that was sent to it: what reached its host after that end,
    /// the copy has not read.
    ///
    /// # Errors
    /// See [`Breach`]; nothing more is to be believed then.
    pub fn told(&mut self, told: FromAgent) -> Result<FromAgent, Breach> {
        let rank = told.rank().unwrap_or(u32::MAX);
        let breach = |what| Breach { what, rank };
        let account = self.account(rank).ok_or(breach("a message"))?;
        if !account.running {
            return Err(breach("a message without a copy"));
        }
        match told {
            FromAgent::StartFailed { .. } => account.running = false,
            FromAgent::Consumed { bytes, .. } => {
                account.consumed = account.consumed.saturating_add(bytes);
                if account.consumed > account.given {
                    return Err(breach("more consumed than it was given"));
                }
            }
            FromAgent::Read { bytes, .. } => {
                if bytes > account.given || bytes < account.read {
                    return Err(breach("more read than it was given"));
                }
                account.read = bytes;
            }
            FromAgent::Output { ref bytes, .. } => {
                account.printed += bytes.len() as u64;
                if !account.output.take(bytes.len()) {
                    return Err(breach("more output than its credit"));
                }
            }
            FromAgent::Emitted { ref bytes, .. } if !account.output.take(bytes.len()) => {
                return Err(breach("more output than its credit"));
            }
            FromAgent::Diagnostic { ref bytes, .. } => {
                account.complained += bytes.len() as u64;
                if !account.diagnostics.take(bytes.len()) {
                    return Err(breach("more diagnostics than its credit"));
                }
            }
            FromAgent::Ended { rank, end } => {
                account.running = false;
                let end = account.settle(end).map_err(breach)?;
                return Ok(FromAgent::Ended { rank, end });
            }
            _ => {}
        }
        Ok(told)
    }
}

impl Account {
    fn settle(&self, mut end: Ended) -> Result<Ended, &'static str> {
        if !is_possible(&end) {
            return Err("an end that no copy can have");
        }
        if end.given > self.given || end.unread > end.given {
            return Err("a count of its input");
        }
        if (end.printed, end.complained) != (self.printed, self.complained) {
            return Err("a count of its output");
        }
        end.unread += self.given - end.given;
        end.given = self.given;
        Ok(end)
    }
}

/// Whether a process can have ended like this, at a time and after a time that there are.
fn is_possible(end: &Ended) -> bool {
    const LAST_SIGNAL: i32 = 64;
    const LONGEST: f64 = 1e12;
    let status = match end.status {
        ExitStatus::Exited(status) => (0..=255).contains(&status),
        ExitStatus::Signaled(signal) => (1..=LAST_SIGNAL).contains(&signal),
    };
    status && [end.started, end.ran].iter().all(|seconds| (0.0..LONGEST).contains(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Conduct;

    fn end(given: u64, unread: u64, printed: u64) -> FromAgent {
        let end = Ended {
            status: ExitStatus::Exited(0),
            given,
            unread,
            leaked: false,
            started: 1.0,
            ran: 1.0,
            printed,
            complained: 0,
            stopped: false,
            conduct: Conduct::Stranger,
        };
        FromAgent::Ended { rank: 7, end }
    }

    fn fed(bytes: &[u8]) -> Ledger {
        let mut ledger = Ledger::new(vec![3, 7]);
        ledger.ordered(ToAgent::Start { rank: 7, chunk: None, attempt: 1 });
        ledger.ordered(ToAgent::OutputCredit { rank: 7, bytes: 10 });
        ledger.ordered(ToAgent::Feed { rank: 7, bytes });
        ledger
    }

    fn what(result: Result<FromAgent, Breach>) -> &'static str {
        result.err().map_or("nothing", |breach| breach.what)
    }

    #[test]
    fn what_reaches_a_host_after_a_copy_has_ended_was_not_read_by_it() {
        let mut ledger = fed(b"0123456789");
        let Ok(FromAgent::Ended { end, .. }) = ledger.told(end(4, 1, 0)) else { panic!("refused") };
        assert_eq!((end.given, end.unread), (10, 7));
    }

    #[test]
    fn an_agent_speaks_only_of_copies_that_it_has() {
        let output = |rank| FromAgent::Output { rank, bytes: b"x".to_vec() };
        let mut ledger = fed(b"");
        assert_eq!(what(ledger.told(output(4))), "a message");
        assert_eq!(what(ledger.told(output(3))), "a message without a copy");
        assert_eq!(what(ledger.told(output(7))), "nothing");
        assert_eq!(what(ledger.told(end(0, 0, 1))), "nothing");
        assert_eq!(what(ledger.told(output(7))), "a message without a copy");
    }

    #[test]
    fn counts_must_agree() {
        let consumed = |bytes| FromAgent::Consumed { rank: 7, bytes };
        assert_eq!(what(fed(b"ab").told(consumed(3))), "more consumed than it was given");
        assert_eq!(what(fed(b"ab").told(consumed(u64::MAX))), "more consumed than it was given");
        assert_eq!(what(fed(b"ab").told(end(3, 0, 0))), "a count of its input");
        assert_eq!(what(fed(b"ab").told(end(2, 3, 0))), "a count of its input");
        assert_eq!(what(fed(b"ab").told(end(2, 0, 1))), "a count of its output");
        let flood = vec![0; 10 + crate::buffers::BUFFER];
        let flood = FromAgent::Output { rank: 7, bytes: flood };
        assert_eq!(what(fed(b"").told(flood)), "more output than its credit");
    }

    #[test]
    fn credit_is_passed_on_in_parts_that_are_worth_a_message() {
        let mut ledger = Ledger::new(vec![7]);
        let credit = |bytes| ToAgent::OutputCredit { rank: 7, bytes };
        assert!(ledger.ordered(credit(100)).is_some());
        assert!(ledger.ordered(credit(10)).is_none());
        let Some(ToAgent::OutputCredit { bytes, .. }) = ledger.ordered(credit(20)) else {
            panic!("kept back")
        };
        assert_eq!(bytes, 30);
    }
}
