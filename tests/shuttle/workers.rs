//! The worker threads: as many as were asked for, each running one turn after the other.

use parlor::Reply;
use shuttle::thread;

use crate::claims;
use crate::scene::{Scene, completed, echo, held};

claims! {
    fn more_turns_than_workers_run_one_after_the_other() {
        let scene = Scene::open(2, echo);
        let texts = ["one", "two", "three", "four"];
        let turns = texts.map(|text| (scene.session().send(text).unwrap(), text));
        for (turn, text) in turns {
            completed(&turn, &turn.wait().unwrap(), text);
        }
        assert_eq!(scene.log.texts().len(), 4);
        assert!(scene.log.threads() <= 2);
        scene.close();
    }

    fn sessions_are_served_in_the_order_they_came() {
        let scene = Scene::open(1, echo);
        let texts = ["one", "two", "three"];
        let turns = texts.map(|text| scene.session().send(text).unwrap());
        for turn in turns {
            turn.wait().unwrap();
        }
        assert_eq!((scene.log.texts(), scene.log.threads()), (texts.map(str::to_owned).to_vec(), 1));
        scene.close();
    }

    fn a_worker_is_used_again() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        for text in ["one", "two"] {
            let turn = session.send(text).unwrap();
            completed(&turn, &turn.wait().unwrap(), text);
        }
        assert_eq!(scene.log.threads(), 1);
        scene.close();
    }

    fn an_agent_that_hangs_holds_up_no_other_session() {
        let (begun, go) = held();
        let gates = (begun.clone(), go.clone());
        let scene = Scene::open(2, move |turn, _| {
            if turn.input().text() == "hang" {
                gates.0.open();
                gates.1.pass();
            }
            Ok(Reply::from(turn.input().text()))
        });
        let hanging = scene.session().send("hang").unwrap();
        let session = scene.session();
        let others = ["one", "two"].map(|text| {
            let session = session.clone();
            thread::spawn(move || {
                let turn = session.send(text);
                turn.map(|turn| completed(&turn, &turn.wait().unwrap(), text))
            })
        });
        let ran = others.map(|other| other.join().unwrap().is_ok());
        assert!(ran.contains(&true));
        begun.pass();
        go.open();
        completed(&hanging, &hanging.wait().unwrap(), "hang");
        scene.close();
    }
}
