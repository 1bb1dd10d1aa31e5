//! Where commands wait for a session.
//!
//! | this session | the other session | an order |
//! |---|---|---|
//! | up | | is handed out |
//! | down | up | waits for the login, [`ORDER_HELD_MAX`] at most |
//! | down | down | is refused at once |
//! | its login was refused | | is refused at once |
//!
//! Why it waits: after a gap calls may be seen a moment before orders can be given, and whoever presses a button then
//! means it. Why not longer, and not while the PBX is away: she must hear soon that her telephone is what is left to
//! her, and no order is carried out after she has used it. Lists and questions never wait: who asks asks again.
//!
//! Invariant: each command is handed out or answered, and never both.

use std::collections::VecDeque;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{ACTIONS_QUEUED_MAX, Command, ListError, ORDER_HELD_MAX};
use crate::ami::session::ActionOutcome;

/// The commands for one session.
pub(super) struct Intake {
    commands: mpsc::Receiver<Command>,
    /// Orders that wait, and until when.
    held: VecDeque<(Instant, Command)>,
    /// Whether the other session is up; absent where nothing waits.
    other: Option<watch::Receiver<bool>>,
    /// The last login was refused.
    refused: bool,
}

impl Intake {
    pub(super) fn new(commands: mpsc::Receiver<Command>, other: Option<watch::Receiver<bool>>) -> Self {
        Self { commands, held: VecDeque::new(), other, refused: false }
    }

    /// How the last attempt to log in went, until the next has ended.
    pub(super) fn login_refused(&mut self, refused: bool) {
        self.refused = refused;
    }

    /// The next command, for a session that is up; while it is not, waits without end. Cancel-safe.
    pub(super) async fn next(&mut self, is_up: bool) -> Option<Command> {
        if !is_up {
            return self.wait().await;
        }
        match self.held.pop_front() {
            Some((_, command)) => Some(command),
            None => self.commands.recv().await,
        }
    }

    /// Lets orders wait as long as they may and refuses what may not. Never returns; cancel-safe.
    pub(super) async fn wait<T>(&mut self) -> T {
        loop {
            if !self.may_hold() {
                self.held.drain(..).for_each(|(_, command)| refuse(command));
            }
            let due = self.held.front().map(|(due, _)| *due);
            tokio::select! {
                Some(command) = self.commands.recv() => self.take(command),
                () = at(due) => self.held.pop_front().into_iter().for_each(|(_, command)| refuse(command)),
                () = changed(self.other.as_mut()) => {}
            }
        }
    }

    /// Answers all that is left: there will be no session any more.
    pub(super) async fn close(mut self) {
        self.commands.close();
        self.held.drain(..).for_each(|(_, command)| refuse(command));
        while let Some(command) = self.commands.recv().await {
            refuse(command);
        }
    }

    fn take(&mut self, command: Command) {
        let is_order = matches!(command, Command::Order { .. });
        if is_order && self.may_hold() && self.held.len() < ACTIONS_QUEUED_MAX {
            self.held.push_back((Instant::now() + ORDER_HELD_MAX, command));
        } else {
            refuse(command);
        }
    }

    fn may_hold(&self) -> bool {
        !self.refused && self.other.as_ref().is_some_and(|other| *other.borrow())
    }
}

/// Answers a command that nobody will carry out. A caller that is gone needs no answer.
fn refuse(command: Command) {
    match command {
        Command::Order { reply, .. } => drop(reply.send(ActionOutcome::NeverSent)),
        Command::List { reply, .. } => drop(reply.send(Err(ListError::NeverSent))),
        Command::Resync => {}
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn changed(other: Option<&mut watch::Receiver<bool>>) {
    if let Some(other) = other
        && other.changed().await.is_ok()
    {
        return;
    }
    // The other session's task ends with the shutdown alone, and then this one does.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::ami::action::Action;

    type Outcome = oneshot::Receiver<ActionOutcome>;

    /// An intake beside a session that is up or not, and orders that were given to it.
    fn given(other_is_up: bool, orders: usize) -> (Intake, watch::Sender<bool>, Vec<Outcome>) {
        let (sender, commands) = mpsc::channel(ACTIONS_QUEUED_MAX + 1);
        let (other, is_up) = watch::channel(other_is_up);
        let mut outcomes = Vec::new();
        for _ in 0..orders {
            let (reply, outcome) = oneshot::channel();
            let action = Action::hangup("a", None).unwrap();
            sender.try_send(Command::Order { action, reply }).ok().unwrap();
            outcomes.push(outcome);
        }
        (Intake::new(commands, Some(is_up)), other, outcomes)
    }

    /// The outcome, if there is one while the intake waits.
    async fn answer(intake: &mut Intake, outcome: &mut Outcome) -> ActionOutcome {
        tokio::select! {
            biased;
            () = intake.wait() => unreachable!(),
            outcome = outcome => outcome.unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_for_a_login_while_the_pbx_is_there() {
        let (mut intake, _other, mut outcomes) = given(true, 2);
        let begun = Instant::now();
        tokio::select! {
            _ = intake.next(false) => unreachable!(),
            () = tokio::time::sleep(ORDER_HELD_MAX / 2) => {}
        }
        assert!(matches!(intake.next(true).await, Some(Command::Order { .. })));
        // The other one was pressed as long ago, and no login came.
        assert_eq!(answer(&mut intake, &mut outcomes[1]).await, ActionOutcome::NeverSent);
        assert_eq!(begun.elapsed(), ORDER_HELD_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_is_refused_at_once_where_waiting_is_in_vain() {
        for (is_up, refused) in [(false, false), (true, true)] {
            let (mut intake, _other, mut outcomes) = given(is_up, 1);
            intake.login_refused(refused);
            let begun = Instant::now();
            assert_eq!(answer(&mut intake, &mut outcomes[0]).await, ActionOutcome::NeverSent);
            assert!(begun.elapsed().is_zero());
        }
        // The PBX goes away while one waits.
        let (mut intake, other, mut outcomes) = given(true, 1);
        tokio::select! {
            () = intake.wait() => unreachable!(),
            () = tokio::time::sleep(ORDER_HELD_MAX / 2) => other.send_replace(false),
        };
        let begun = Instant::now();
        assert_eq!(answer(&mut intake, &mut outcomes[0]).await, ActionOutcome::NeverSent);
        assert!(begun.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_orders_wait_than_may_and_each_is_answered_at_the_end() {
        let (mut intake, _other, mut outcomes) = given(true, ACTIONS_QUEUED_MAX + 1);
        let (begun, last) = (Instant::now(), outcomes.len() - 1);
        assert_eq!(answer(&mut intake, &mut outcomes[last]).await, ActionOutcome::NeverSent);
        assert!(begun.elapsed().is_zero());
        intake.close().await;
        for outcome in &mut outcomes[..last] {
            assert_eq!(outcome.await.unwrap(), ActionOutcome::NeverSent);
        }
    }
}
