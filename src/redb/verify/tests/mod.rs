//! Plants every breach that can be planted, row by row and field by field, into a store that has rows of every form. Each must
//! be named, with its table and the session, archive, scope or row that it is of, or be excused with the reason.

mod failing;
mod fields;
mod golden;
mod planted;
mod rows;
mod scene;

use self::planted::Row;
use super::forms::{FORMS, form};

#[test]
fn the_scene_has_no_breach_and_rows_of_every_form() {
    let planted = scene::planted();
    assert_eq!(planted.breaches(), Vec::<String>::new());
    let has = |form: &super::forms::Form| {
        let is_of = |row: &Row| super::forms::form(row.table, &row.key).is_some_and(|of| of.what == form.what);
        planted.rows().iter().any(is_of)
    };
    let missing: Vec<&str> = FORMS.iter().filter(|form| !has(form)).map(|form| form.what).collect();
    assert_eq!(missing, Vec::<&str>::new(), "the scene is to have rows of every form");
}
