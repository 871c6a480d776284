//! The roll: who has come, and who is missing.

use std::collections::BTreeMap;

use super::{Card, MeetError};

/// The cards of a job's agents, as they come.
#[derive(Clone, Debug)]
pub struct Roll {
    job: String,
    size: u32,
    cards: BTreeMap<u32, Card>,
}

impl Roll {
    /// Begins with nobody; `size` counts the root.
    pub fn new(job: &str, size: u32) -> Self {
        Roll { job: job.to_owned(), size, cards: BTreeMap::new() }
    }

    /// Notes who has come.
    ///
    /// # Errors
    /// A card of another job, of no task of this one, or the second of one task.
    pub fn enter(&mut self, card: Card) -> Result<(), MeetError> {
        let task = card.task;
        if card.job != self.job {
            let (wanted, found) = (self.job.clone(), card.job);
            return Err(MeetError::OtherJob { task, wanted, found });
        }
        if task == 0 || task >= self.size {
            return Err(MeetError::NoSuchTask { task, size: self.size });
        }
        if self.cards.insert(task, card).is_some() {
            return Err(MeetError::Twice(task));
        }
        Ok(())
    }

    /// Whether all have come.
    pub fn is_complete(&self) -> bool {
        u32::try_from(self.cards.len()).is_ok_and(|come| come + 1 >= self.size)
    }

    /// Whether this one has come.
    pub fn has(&self, task: u32) -> bool {
        self.cards.contains_key(&task)
    }

    /// Who has not come.
    pub fn missing(&self) -> impl Iterator<Item = u32> {
        (1..self.size).filter(|&task| !self.has(task))
    }

    /// Ends with the cards of all, in the order of tasks.
    ///
    /// # Errors
    /// [`MeetError::Missing`].
    pub fn close(self) -> Result<Vec<Card>, MeetError> {
        if !self.is_complete() {
            let (missing, others) = (self.missing().collect(), self.size.saturating_sub(1));
            return Err(MeetError::Missing { missing, others });
        }
        Ok(self.cards.into_values().collect())
    }
}

/// Looks whether a card is that of task `wanted` of `job`.
pub(super) fn must_be(card: Card, job: &str, wanted: u32) -> Result<Card, MeetError> {
    if card.task != wanted {
        return Err(MeetError::OtherTask { wanted, found: card.task });
    }
    if card.job != job {
        let found = card.job;
        return Err(MeetError::OtherJob { task: wanted, wanted: job.to_owned(), found });
    }
    Ok(card)
}

#[cfg(test)]
mod tests {
    use super::*;
    use px_runtime::link::keys::PublicKey;

    fn card(job: &str, task: u32) -> Card {
        let key = PublicKey::from_bytes([7; 32]);
        Card { job: job.into(), task, host: "n1".into(), key, addresses: Vec::new() }
    }

    #[test]
    fn cards_are_in_the_order_of_tasks_whenever_they_came() {
        let mut roll = Roll::new("a", 4);
        for task in [2, 3, 1] {
            assert!(!roll.is_complete());
            roll.enter(card("a", task)).unwrap();
        }
        assert!(roll.is_complete());
        let tasks: Vec<_> = roll.close().unwrap().iter().map(|card| card.task).collect();
        assert_eq!(tasks, [1, 2, 3]);
    }

    #[test]
    fn who_is_missing_is_named() {
        let mut roll = Roll::new("a", 20);
        roll.enter(card("a", 5)).unwrap();
        let told = roll.close().unwrap_err().to_string();
        assert_eq!(
            told,
            "18 of 19 other tasks did not come to the rendezvous: \
             task 1, 2, 3, 4, 6, 7, 8, 9 and 10 more"
        );
        let mut roll = Roll::new("a", 3);
        roll.enter(card("a", 1)).unwrap();
        let told = roll.close().unwrap_err().to_string();
        assert_eq!(told, "1 of 2 other tasks did not come to the rendezvous: task 2");
    }

    #[test]
    fn a_card_that_does_not_belong_here_is_refused() {
        let mut roll = Roll::new("a", 3);
        roll.enter(card("a", 1)).unwrap();
        for (wrong, told) in [
            (card("b", 2), "the card of task 2 must be of job `a`, found `b`"),
            (card("a", 0), "a card must be of one of tasks 1 to 2, found task 0"),
            (card("a", 3), "a card must be of one of tasks 1 to 2, found task 3"),
            (card("a", 1), "the card of task 1 came twice"),
        ] {
            assert_eq!(roll.enter(wrong).unwrap_err().to_string(), told);
        }
        assert!(must_be(card("a", 0), "a", 0).is_ok());
        assert!(must_be(card("a", 1), "a", 0).is_err());
        assert!(must_be(card("b", 0), "a", 0).is_err());
    }

    #[test]
    fn a_job_of_one_is_complete_at_once() {
        assert_eq!(Roll::new("a", 1).close().unwrap(), []);
    }
}
