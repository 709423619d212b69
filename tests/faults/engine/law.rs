//! The law of a session's feed.

use std::collections::HashSet;

use parlor::id::TurnId;
use parlor::{Change, ChangeKind, TurnState};

/// The turn that is left running, where numbers are dense, one turn runs at a time, and each ends once at most.
pub fn running(changes: &[Change]) -> Result<Option<TurnId>, String> {
    let (mut running, mut ended) = (None, HashSet::new());
    for (number, change) in (1..).zip(changes) {
        let wrong = |why: &str| Err(format!("{change:?} {why}: {changes:?}"));
        if change.number != number {
            return wrong("has not the next number");
        }
        let ChangeKind::Turn(id, state) = change.kind else { continue };
        if ended.contains(&id) {
            return wrong("comes after its end");
        }
        match state {
            // One that is run again begins again.
            TurnState::Running if running.is_none() || running == Some(id) => running = Some(id),
            TurnState::Running => return wrong("begins while another one runs"),
            state if state.is_terminal() => {
                ended.insert(id);
                running = running.filter(|running| *running != id);
            }
            _ if running == Some(id) => return wrong("waits again"),
            _ => {}
        }
    }
    Ok(running)
}

#[test]
fn a_feed_that_breaks_the_law_is_seen() {
    use TurnState::{Completed, Failed, Queued, Running};

    let [one, two] = [1, 2].map(|number| TurnId::from_uuid(uuid::Uuid::from_u128(number)));
    let feed = |states: &[(TurnId, TurnState)]| {
        let kinds = states.iter().map(|(id, state)| ChangeKind::Turn(*id, *state));
        running(&(1..).zip(kinds).map(|(number, kind)| Change::new(number, kind)).collect::<Vec<_>>())
    };
    assert_eq!(feed(&[(one, Running), (two, Queued), (one, Completed), (two, Running)]), Ok(Some(two)));
    assert_eq!(feed(&[(one, Running), (one, Running), (one, Failed)]), Ok(None));
    let broken = [
        [(one, Running), (two, Running)],
        [(one, Completed), (one, Failed)],
        [(one, Failed), (one, Running)],
        [(one, Running), (one, Queued)],
    ];
    broken.iter().for_each(|states| assert!(feed(states).is_err(), "{states:?}"));
    let gap = [1, 3].map(|number| Change::new(number, ChangeKind::Updated));
    assert!(running(&gap).is_err());
}
