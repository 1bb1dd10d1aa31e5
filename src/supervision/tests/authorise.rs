//! Authorisation of commands: tables of actor, target state, mode and phone.

use super::super::authorise::*;
use super::*;
use crate::contract::call::{CallState, CallView, Direction};
use crate::contract::refusal::Refusal;
use crate::contract::supervision::{AfterTransfer, Mode, SupervisionId, Target};
use crate::people::actor::Actor;
use crate::people::role::Role;
use crate::people::viewer::Viewer;

/// Call 1, which the operator 1001 has unless a test changes it.
struct Facts {
    operator: Option<Extension>,
    may_be_monitored: bool,
    /// Whether the actor may see the call.
    call_is_visible: bool,
    has_caller: bool,
    transfer: Option<TransferPhase>,
    /// A phone with a caller in another call.
    busy_phone: Option<Extension>,
}

impl Facts {
    fn talking() -> Self {
        let operator = Some(ext("1001"));
        Self {
            operator,
            may_be_monitored: true,
            call_is_visible: true,
            has_caller: true,
            transfer: None,
            busy_phone: None,
        }
    }

    fn idle() -> Self {
        Self { operator: None, ..Self::talking() }
    }

    fn transferring(phase: TransferPhase) -> Self {
        Self { transfer: Some(phase), ..Self::talking() }
    }
}

impl Environment for Facts {
    fn monitorable_operator(&self, operator: &Extension) -> Option<MonitorTarget> {
        self.monitorable_call(self.call_of_operator(operator)?)
    }

    fn monitorable_call(&self, id: CallId) -> Option<MonitorTarget> {
        let operator = self.operator_of(id).filter(|_| self.may_be_monitored)?;
        let target = monitor_target(id, &operator);
        Some(MonitorTarget { caller: target.caller.filter(|_| self.has_caller), ..target })
    }

    fn external_party(&self, _: CallId) -> Option<ChannelId> {
        None
    }

    fn is_live(&self, id: CallId) -> bool {
        id == call(1)
    }

    fn may_supervise(&self, _: RecordId, _: Mode, _: &Extension, _: Option<&Extension>) -> bool {
        true
    }

    fn name_of(&self, _: RecordId) -> SmolStr {
        SmolStr::default()
    }
}

impl CommandContext for Facts {
    fn call_of_operator(&self, operator: &Extension) -> Option<CallId> {
        if self.busy_phone.as_ref() == Some(operator) {
            return Some(call(2));
        }
        (self.operator.as_ref() == Some(operator)).then(|| call(1))
    }

    fn is_visible(&self, _: CallId, _: &Actor) -> bool {
        self.call_is_visible
    }

    fn operator_of(&self, id: CallId) -> Option<Extension> {
        self.operator.clone().filter(|_| id == call(1))
    }

    fn may_be_monitored(&self, _: CallId) -> bool {
        self.may_be_monitored
    }

    fn transfer_of(&self, _: CallId) -> Option<TransferPhase> {
        self.transfer
    }

    fn is_staff_phone(&self, phone: &Extension) -> bool {
        matches!(phone.as_str().as_bytes(), [b'1' | b'2' | b'9', _, _, _])
    }

    fn people_of_phone(&self, phone: &Extension) -> Vec<RecordId> {
        // 1999 is nobody's; every other phone is the person's of that number.
        let number = phone.as_str().parse().unwrap();
        if number == 1999 { Vec::new() } else { vec![RecordId(Uuid::from_u128(number))] }
    }
}

fn actor(n: u128, role: Role, extension: &str, team: &[&str]) -> Actor {
    let user = RecordId(Uuid::from_u128(n));
    let viewer = Viewer::new(role, Extension::parse(extension).ok(), team.iter().map(|e| ext(e)));
    let members = team.iter().map(|number| RecordId(Uuid::from_u128(number.parse().unwrap())));
    Actor { user, name: "伊藤".into(), viewer: viewer.for_user(user).with_members(members) }
}

/// The supervisor of 1001 and 1002, at 2001.
fn team_supervisor() -> Actor {
    actor(7, Role::Supervisor, "2001", &["1001", "1002", "2001"])
}

fn other_supervisor() -> Actor {
    actor(8, Role::Supervisor, "2002", &["1009"])
}

fn admin() -> Actor {
    actor(9, Role::Admin, "9001", &[])
}

fn operator(extension: &str) -> Actor {
    actor(10, Role::Operator, extension, &[])
}

fn machine() -> Supervisions {
    Supervisions::new(settings(AfterTransfer::Operator))
}

fn of_operator(mode: Mode, follow: bool) -> SupervisionRequest {
    let target = Target::Operator { operator: ext("1001"), follow };
    SupervisionRequest { target, mode, extension: None, reason: None }
}

fn of_call(number: u8) -> SupervisionRequest {
    SupervisionRequest {
        target: Target::Call(call(number)),
        mode: Mode::Listen,
        extension: None,
        reason: None,
    }
}

fn id(n: u128) -> SupervisionId {
    SupervisionId(Uuid::from_u128(n))
}

fn kind(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownCall | Refusal::UnknownSupervision => "unknown",
        Refusal::NotPermitted(_) => "not permitted",
        Refusal::Conflict(_) => "conflict",
        Refusal::Invalid(_) => "invalid",
        Refusal::Unavailable => "unavailable",
        other => panic!("{other:?}"),
    }
}

fn start(
    request: &SupervisionRequest,
    actor: &Actor,
    sessions: &Supervisions,
    facts: &Facts,
) -> &'static str {
    match authorise_start(request, id(99), actor, sessions, facts) {
        Ok(StartDecision::Start(_)) => "start",
        Ok(StartDecision::Switch(_)) => "switch",
        Err(refusal) => kind(&refusal),
    }
}

fn allowed(result: &Result<(), Refusal>) -> &'static str {
    result.as_ref().map_or_else(kind, |()| "allowed")
}

/// A machine in which the supervisor of the team hears 1001 in call 1 from the phone 2001.
fn with_session() -> Supervisions {
    let mut sessions = machine();
    let (supervisor, facts) = (team_supervisor(), Facts::talking());
    let decision =
        authorise_start(&of_operator(Mode::Listen, false), id(1), &supervisor, &sessions, &facts).unwrap();
    let StartDecision::Start(session) = decision else { panic!("{decision:?}") };
    assert_eq!((session.id, session.user, &session.phone), (id(1), supervisor.user, &ext("2001")));
    assert_eq!(session.monitor_target, Some(monitor_target(call(1), &ext("1001"))));
    sessions.handle(Timestamp::UNIX_EPOCH, Input::Start(session), &facts);
    sessions
}

#[test]
fn role_and_team_decide_before_the_state_of_the_operator() {
    let states = [
        Facts::idle(),
        Facts::talking(),
        Facts { may_be_monitored: false, ..Facts::talking() },
        Facts::transferring(TransferPhase::Moving),
        Facts::transferring(TransferPhase::Consulting),
    ];
    let permitted = ["conflict", "start", "not permitted", "conflict", "start"];
    let refused = ["not permitted"; 5];
    for (who, actor, expected) in [
        ("supervisor of the team", team_supervisor(), permitted),
        ("administrator", admin(), permitted),
        ("supervisor of another team", other_supervisor(), refused),
        ("the operator", operator("1001"), refused),
        ("another operator", operator("1002"), refused),
        ("supervisor who is the operator", actor(7, Role::Supervisor, "1001", &["1001"]), refused),
        ("administrator who is the operator", actor(9, Role::Admin, "1001", &[]), refused),
        ("system", actor(11, Role::System, "", &[]), refused),
    ] {
        let request = of_operator(Mode::Listen, false);
        let got = states.each_ref().map(|facts| start(&request, &actor, &machine(), facts));
        assert_eq!(got, expected, "{who}");
    }
}

#[test]
fn a_call_must_exist_and_have_an_operator() {
    for (who, actor, without_operator) in [
        ("supervisor of the team", team_supervisor(), "conflict"),
        ("supervisor of another team", other_supervisor(), "conflict"),
        ("administrator", admin(), "conflict"),
        ("operator", operator("1002"), "not permitted"),
        ("system", actor(11, Role::System, "", &[]), "not permitted"),
    ] {
        assert_eq!(start(&of_call(2), &actor, &machine(), &Facts::talking()), "unknown", "{who}");
        assert_eq!(start(&of_call(1), &actor, &machine(), &Facts::idle()), without_operator, "{who}");
        let unseen = Facts { call_is_visible: false, ..Facts::idle() };
        assert_eq!(start(&of_call(1), &actor, &machine(), &unseen), "not permitted", "{who}");
    }
    assert_eq!(start(&of_call(1), &team_supervisor(), &machine(), &Facts::talking()), "start");
    assert_eq!(start(&of_call(1), &other_supervisor(), &machine(), &Facts::talking()), "not permitted");
}

#[test]
fn mode_follow_and_transfer_decide_whether_there_is_somebody_to_hear() {
    let no_caller = || Facts { has_caller: false, ..Facts::talking() };
    let consulting = || Facts::transferring(TransferPhase::Consulting);
    let moving = || Facts::transferring(TransferPhase::Moving);
    for (what, mode, follow, facts, expected) in [
        ("idle", Mode::Listen, false, Facts::idle(), "conflict"),
        ("idle, followed", Mode::Listen, true, Facts::idle(), "start"),
        ("idle, followed", Mode::TakeOver, true, Facts::idle(), "conflict"),
        ("talking", Mode::Whisper, false, Facts::talking(), "start"),
        ("talking", Mode::Barge, false, Facts::talking(), "start"),
        ("talking", Mode::TakeOver, false, Facts::talking(), "start"),
        ("without the caller's channel", Mode::Barge, false, no_caller(), "start"),
        ("without the caller's channel", Mode::TakeOver, false, no_caller(), "conflict"),
        ("consulting", Mode::Whisper, false, consulting(), "start"),
        ("consulting", Mode::TakeOver, false, consulting(), "conflict"),
        ("moving", Mode::Listen, true, moving(), "conflict"),
    ] {
        let request = of_operator(mode, follow);
        assert_eq!(start(&request, &team_supervisor(), &machine(), &facts), expected, "{what} {mode:?}");
    }
}

#[test]
fn an_operator_whose_call_was_taken_over_may_listen_to_that_call() {
    let mut sessions = machine();
    sessions.released.insert(call(1), ext("1002"));
    let request = |mode| SupervisionRequest { mode, ..of_call(1) };
    let facts = Facts { operator: Some(ext("2001")), ..Facts::talking() };
    assert_eq!(start(&request(Mode::Listen), &operator("1002"), &sessions, &facts), "start");
    assert_eq!(start(&request(Mode::Whisper), &operator("1002"), &sessions, &facts), "not permitted");
    assert_eq!(start(&request(Mode::Listen), &operator("1003"), &sessions, &facts), "not permitted");
}

#[test]
fn the_phone_must_be_a_free_phone_of_the_staff() {
    let at =
        |phone: &str| SupervisionRequest { extension: Some(ext(phone)), ..of_operator(Mode::Listen, false) };
    let facts = Facts { busy_phone: Some(ext("2003")), ..Facts::talking() };
    for (phone, expected) in
        [("2009", "start"), ("1001", "invalid"), ("5001", "invalid"), ("2003", "conflict")]
    {
        assert_eq!(start(&at(phone), &admin(), &machine(), &facts), expected, "{phone}");
    }
    let without_phone = actor(9, Role::Admin, "", &[]);
    let own = of_operator(Mode::Listen, false);
    assert_eq!(start(&own, &without_phone, &machine(), &facts), "invalid");
}

#[test]
fn only_an_administrator_lets_the_phone_of_another_team_ring() {
    let at =
        |phone: &str| SupervisionRequest { extension: Some(ext(phone)), ..of_operator(Mode::Listen, true) };
    let start = |actor: &Actor, phone: &str| start(&at(phone), actor, &machine(), &Facts::talking());
    for (actor, phone, expected) in [
        (team_supervisor(), "2001", "start"),
        (team_supervisor(), "1002", "start"),
        (team_supervisor(), "1999", "start"),
        (team_supervisor(), "1003", "not permitted"),
        (team_supervisor(), "2002", "not permitted"),
        (team_supervisor(), "9001", "not permitted"),
        (admin(), "1003", "start"),
        (admin(), "2002", "start"),
    ] {
        assert_eq!(start(&actor, phone), expected, "{:?} at {phone}", actor.viewer.role());
    }
}

#[test]
fn a_phone_in_a_session_can_only_switch_that_session() {
    let mut sessions = with_session();
    let whisper = of_operator(Mode::Whisper, false);
    assert_eq!(start(&whisper, &team_supervisor(), &sessions, &Facts::talking()), "switch");
    let by_admin = SupervisionRequest { extension: Some(ext("2001")), ..whisper.clone() };
    assert_eq!(start(&by_admin, &admin(), &sessions, &Facts::talking()), "conflict");
    let other = Facts { operator: Some(ext("1002")), ..Facts::talking() };
    assert_eq!(start(&of_call(1), &team_supervisor(), &sessions, &other), "conflict");
    for session in sessions.sessions.values_mut() {
        session.monitor_target.as_mut().unwrap().external = true;
    }
    assert_eq!(start(&whisper, &team_supervisor(), &sessions, &Facts::talking()), "conflict");
    let listen = of_operator(Mode::Listen, false);
    assert_eq!(start(&listen, &team_supervisor(), &sessions, &Facts::talking()), "switch");
}

#[test]
fn no_session_starts_beyond_the_limit() {
    let mut sessions = with_session();
    let one = sessions.get(id(1)).unwrap().clone();
    for n in 2..=SESSIONS_MAX {
        let id = id(u128::try_from(n).unwrap());
        sessions.sessions.insert(id, Session { id, ..one.clone() });
    }
    let request = of_operator(Mode::Listen, false);
    assert_eq!(start(&request, &admin(), &sessions, &Facts::talking()), "unavailable");
    sessions.sessions.remove(&id(2));
    assert_eq!(start(&request, &admin(), &sessions, &Facts::talking()), "start");
}

#[test]
fn only_the_supervisor_of_a_session_and_administrators_switch_and_stop_it() {
    let sessions = with_session();
    let colleague = actor(12, Role::Supervisor, "2003", &["1001"]);
    let moved = actor(7, Role::Supervisor, "2001", &["1009"]);
    for (who, actor, visible, switch, stop) in [
        ("its supervisor", team_supervisor(), true, "allowed", "allowed"),
        ("its supervisor, now of another team", moved, true, "not permitted", "allowed"),
        ("administrator", admin(), true, "allowed", "allowed"),
        ("another supervisor of the team", colleague, true, "not permitted", "not permitted"),
        ("supervisor of another team", other_supervisor(), false, "not permitted", "not permitted"),
        ("the operator", operator("1001"), false, "not permitted", "not permitted"),
        ("system", actor(11, Role::System, "", &[]), false, "not permitted", "not permitted"),
    ] {
        let found = find_visible(&sessions, id(1), &actor);
        assert_eq!(found.is_ok(), visible, "{who}");
        assert!(found.is_ok() || found == Err(Refusal::UnknownSupervision), "{who}");
        let session = sessions.get(id(1)).unwrap();
        assert_eq!(is_visible(session, &actor), visible, "{who}");
        let switched = authorise_switch(session, Mode::Barge, &actor, &sessions, &Facts::talking());
        assert_eq!(allowed(&switched), switch, "{who}");
        assert_eq!(allowed(&authorise_stop(session, &actor)), stop, "{who}");
    }
    assert_eq!(find_visible(&sessions, id(2), &admin()), Err(Refusal::UnknownSupervision));
}

#[test]
fn a_switch_depends_on_mode_transfer_and_party() {
    let sessions = with_session();
    let session = sessions.get(id(1)).unwrap();
    let mut external = session.clone();
    external.monitor_target.as_mut().unwrap().external = true;
    let waiting = Session { monitor_target: None, ..session.clone() };
    let consulting = || Facts::transferring(TransferPhase::Consulting);
    let moving = || Facts::transferring(TransferPhase::Moving);
    for (what, session, mode, facts, expected) in [
        ("live", session, Mode::TakeOver, Facts::talking(), "allowed"),
        ("external party", &external, Mode::Whisper, Facts::talking(), "conflict"),
        ("external party", &external, Mode::Listen, Facts::talking(), "allowed"),
        ("waiting", &waiting, Mode::Barge, Facts::talking(), "allowed"),
        ("waiting", &waiting, Mode::TakeOver, Facts::talking(), "conflict"),
        ("consulting", session, Mode::TakeOver, consulting(), "conflict"),
        ("moving", session, Mode::Whisper, moving(), "allowed"),
        ("moving", session, Mode::TakeOver, moving(), "conflict"),
    ] {
        let switched = authorise_switch(session, mode, &team_supervisor(), &sessions, &facts);
        assert_eq!(allowed(&switched), expected, "{what} {mode:?}");
    }
}

#[test]
fn help_is_asked_for_the_own_call_or_the_teams() {
    let view = CallView {
        id: call(1),
        pbx: PbxId::parse("t").unwrap(),
        direction: Direction::Inbound,
        state: CallState::Answered,
        offered_at: Timestamp::UNIX_EPOCH,
        answered_at: None,
        ended_at: None,
        presented_to: Vec::new(),
        operator: Some(ext("1001")),
        handled_by: Vec::new(),
        outcome: None,
        card: None,
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    };
    for (who, actor, expected) in [
        ("the operator", operator("1001"), Ok(ext("1001"))),
        ("supervisor of the team", team_supervisor(), Ok(ext("1001"))),
        ("administrator", admin(), Ok(ext("1001"))),
        ("another operator", operator("1002"), Err("unknown")),
        ("supervisor of another team", other_supervisor(), Err("unknown")),
        ("system", actor(11, Role::System, "", &[]), Err("not permitted")),
    ] {
        let result = authorise_help(Some(&view), Some(ext("1001")), &actor);
        assert_eq!(result.map_err(|refusal| kind(&refusal)), expected, "{who}");
    }
    let kind_of = |call, operator| authorise_help(call, operator, &admin()).map_err(|refusal| kind(&refusal));
    assert_eq!(kind_of(None, Some(ext("1001"))), Err("unknown"));
    assert_eq!(kind_of(Some(&view), None), Err("conflict"));
}
