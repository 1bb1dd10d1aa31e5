//! The queue of commands for one session. Actions wait here for its login.
//!
//! | the actions session | the events session | an action |
//! |---|---|---|
//! | up | | is handed to the session |
//! | down | up | waits for the login, up to [`ACTION_HOLD_TIMEOUT`] |
//! | down | down | is refused at once |
//! | its login was refused | | is refused at once |
//!
//! At most [`ACTIONS_QUEUED_MAX`] actions wait; further ones are refused at once. Lists, resyncs and actions on the
//! events session never wait: their callers repeat them.
//!
//! Why an action waits: after a reconnection the daemon may show calls a moment before it can send actions, and an
//! operator who presses a button in that moment means it. Why not longer, and not while the PBX is unreachable: the
//! operator must learn soon that only the telephone is left, and no action may take effect after the operator has used
//! the telephone.
//!
//! Invariant: each command is either handed out or answered here, never both.

use std::collections::VecDeque;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{ACTION_HOLD_TIMEOUT, ACTIONS_QUEUED_MAX, Command, ListError};
use crate::ami::session::ActionOutcome;

/// The commands for one session.
pub(super) struct CommandQueue {
    commands: mpsc::Receiver<Command>,
    /// Actions that wait, each with its deadline.
    held: VecDeque<(Instant, Command)>,
    /// Whether the other session is up; `None` for the queue in which nothing waits.
    other_is_up: Option<watch::Receiver<bool>>,
    /// The PBX refused the last login.
    login_refused: bool,
}

impl CommandQueue {
    pub(super) fn new(commands: mpsc::Receiver<Command>, other_is_up: Option<watch::Receiver<bool>>) -> Self {
        Self { commands, held: VecDeque::new(), other_is_up, login_refused: false }
    }

    /// Records whether the PBX refused the last login.
    pub(super) fn set_login_refused(&mut self, refused: bool) {
        self.login_refused = refused;
    }

    /// The next command, for a session that is up. For one that is down, never returns. Cancel-safe.
    pub(super) async fn next(&mut self, is_up: bool) -> Option<Command> {
        if !is_up {
            return self.hold().await;
        }
        match self.held.pop_front() {
            Some((_, command)) => Some(command),
            None => self.commands.recv().await,
        }
    }

    /// Holds actions until their deadlines and refuses all other commands. Never returns; cancel-safe.
    pub(super) async fn hold<T>(&mut self) -> T {
        loop {
            if !self.may_hold() {
                self.held.drain(..).for_each(|(_, command)| refuse(command));
            }
            let due = self.held.front().map(|(due, _)| *due);
            tokio::select! {
                Some(command) = self.commands.recv() => self.hold_or_refuse(command),
                () = sleep_until_due(due) => self.held.pop_front().into_iter().for_each(|(_, command)| refuse(command)),
                () = changed(self.other_is_up.as_mut()) => {}
            }
        }
    }

    /// Refuses all remaining commands: there will be no further session.
    pub(super) async fn close(mut self) {
        self.commands.close();
        self.held.drain(..).for_each(|(_, command)| refuse(command));
        while let Some(command) = self.commands.recv().await {
            refuse(command);
        }
    }

    fn hold_or_refuse(&mut self, command: Command) {
        let is_action = matches!(command, Command::Action { .. });
        if is_action && self.may_hold() && self.held.len() < ACTIONS_QUEUED_MAX {
            self.held.push_back((Instant::now() + ACTION_HOLD_TIMEOUT, command));
        } else {
            refuse(command);
        }
    }

    fn may_hold(&self) -> bool {
        !self.login_refused && self.other_is_up.as_ref().is_some_and(|is_up| *is_up.borrow())
    }
}

/// Answers a command that no session will carry out. Ignores a caller that is gone.
fn refuse(command: Command) {
    match command {
        Command::Action { reply, .. } => drop(reply.send(ActionOutcome::NeverSent)),
        Command::List { reply, .. } => drop(reply.send(Err(ListError::NeverSent))),
        Command::Resync => {}
    }
}

async fn sleep_until_due(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn changed(other_is_up: Option<&mut watch::Receiver<bool>>) {
    if let Some(other_is_up) = other_is_up
        && other_is_up.changed().await.is_ok()
    {
        return;
    }
    // The other session's task ends only at shutdown, and this one ends then too.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::ami::action::Action;

    type Outcome = oneshot::Receiver<ActionOutcome>;

    /// A queue that holds `actions` actions, while the other session is up or not.
    fn queue_with(other_is_up: bool, actions: usize) -> (CommandQueue, watch::Sender<bool>, Vec<Outcome>) {
        let (sender, commands) = mpsc::channel(ACTIONS_QUEUED_MAX + 1);
        let (other, other_is_up) = watch::channel(other_is_up);
        let mut outcomes = Vec::new();
        for _ in 0..actions {
            let (reply, outcome) = oneshot::channel();
            let action = Action::hangup("a", None).unwrap();
            sender.try_send(Command::Action { action, reply }).ok().unwrap();
            outcomes.push(outcome);
        }
        (CommandQueue::new(commands, Some(other_is_up)), other, outcomes)
    }

    /// The outcome, while the queue holds its commands.
    async fn answer(queue: &mut CommandQueue, outcome: &mut Outcome) -> ActionOutcome {
        tokio::select! {
            biased;
            () = queue.hold() => unreachable!(),
            outcome = outcome => outcome.unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_action_waits_for_a_login_while_the_pbx_is_there() {
        let (mut queue, _other, mut outcomes) = queue_with(true, 2);
        let started = Instant::now();
        tokio::select! {
            _ = queue.next(false) => unreachable!(),
            () = tokio::time::sleep(ACTION_HOLD_TIMEOUT / 2) => {}
        }
        assert!(matches!(queue.next(true).await, Some(Command::Action { .. })));
        // The second action is as old, and no login came.
        assert_eq!(answer(&mut queue, &mut outcomes[1]).await, ActionOutcome::NeverSent);
        assert_eq!(started.elapsed(), ACTION_HOLD_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_action_is_refused_at_once_where_waiting_is_in_vain() {
        for (is_up, refused) in [(false, false), (true, true)] {
            let (mut queue, _other, mut outcomes) = queue_with(is_up, 1);
            queue.set_login_refused(refused);
            let started = Instant::now();
            assert_eq!(answer(&mut queue, &mut outcomes[0]).await, ActionOutcome::NeverSent);
            assert!(started.elapsed().is_zero());
        }
        // The events session ends while an action waits.
        let (mut queue, other, mut outcomes) = queue_with(true, 1);
        tokio::select! {
            () = queue.hold() => unreachable!(),
            () = tokio::time::sleep(ACTION_HOLD_TIMEOUT / 2) => other.send_replace(false),
        };
        let started = Instant::now();
        assert_eq!(answer(&mut queue, &mut outcomes[0]).await, ActionOutcome::NeverSent);
        assert!(started.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_actions_wait_than_may_and_each_is_answered_at_the_end() {
        let (mut queue, _other, mut outcomes) = queue_with(true, ACTIONS_QUEUED_MAX + 1);
        let (started, last) = (Instant::now(), outcomes.len() - 1);
        assert_eq!(answer(&mut queue, &mut outcomes[last]).await, ActionOutcome::NeverSent);
        assert!(started.elapsed().is_zero());
        queue.close().await;
        for outcome in &mut outcomes[..last] {
            assert_eq!(outcome.await.unwrap(), ActionOutcome::NeverSent);
        }
    }
}
