//! Reading from SQLite. Each answer is one statement where it can be, so that its total and its rows
//! come from one snapshot without a transaction around them.

use rusqlite::{Connection, Params, params};

use super::Variant;
use super::schema::COLUMNS;
use crate::corpus::Class;
use crate::peer::{Answered, Filter, Found, Listed, PAGE, Reader, Result, Row, Wanted};
use crate::plan::Standing;

/// A connection that reads, and its statements' texts.
pub(super) struct SqliteReader {
    connection: Connection,
    variant: Variant,
    /// For each [`Wanted`], of a session and of a thread.
    texts: Vec<[Texts; 2]>,
}

struct Texts {
    page: String,
    poll: String,
    count: String,
    count_new: String,
}

impl Texts {
    fn new(filter: Filter, variant: Variant) -> Texts {
        let classes = filter.wanted.classes();
        let table = match filter.standing {
            Standing::Loose => "messages WHERE session = ?1",
            Standing::Threaded => "messages WHERE thread = ?1",
        };
        let of_class = |columns: &str, class: Class, more: &str| {
            format!("SELECT {columns} FROM {table} AND class = {} AND deleted = 0{more}", class.number())
        };
        // Sorted runs, one a class, which SQLite merges: no sort, and the index alone is read to skip.
        let merged = |more: &str, order: &str| {
            let runs: Vec<_> = classes.iter().map(|class| of_class("pk, ts", *class, more)).collect();
            format!("{} ORDER BY ts {order}", runs.join(" UNION ALL "))
        };
        let counted = |more: &str| {
            let counts: Vec<_> = classes.iter().map(|class| of_class("count(*)", *class, more)).collect();
            format!("({})", counts.join(") + ("))
        };
        let list: Vec<_> = classes.iter().map(|class| class.number().to_string()).collect();
        let count = match variant {
            Variant::Plain => counted(""),
            Variant::Positions => {
                format!("(SELECT coalesce(sum(n), 0) FROM counts WHERE scope = ?1 AND class IN ({}))", list.join(", "))
            }
        };
        let joined = |keys: &str, order: &str| {
            format!("SELECT {COLUMNS}, {count} FROM ({keys}) k JOIN messages m ON m.pk = k.pk ORDER BY k.ts {order}")
        };
        let page = match (variant, classes) {
            // Total, positions and rows in one go.
            (Variant::Positions, [class]) => format!(
                "SELECT {COLUMNS}, c.n FROM counts c
                 JOIN positions p ON p.scope = c.scope AND p.class = c.class
                     AND p.rank BETWEEN c.n - ?2 - {PAGE} + 1 AND c.n - ?2
                 JOIN messages m ON m.pk = p.pk
                 WHERE c.scope = ?1 AND c.class = {} ORDER BY p.rank DESC",
                class.number()
            ),
            _ => joined(&format!("{} LIMIT {PAGE} OFFSET ?2", merged("", "DESC")), "DESC"),
        };
        let poll = format!("{} LIMIT {PAGE}", merged(" AND ts > ?2", "ASC"));
        let poll = format!("SELECT {COLUMNS} FROM ({poll}) k JOIN messages m ON m.pk = k.pk ORDER BY k.ts");
        let count_new = format!("SELECT {}", counted(" AND ts > ?2"));
        Texts { page, poll, count: format!("SELECT {count}"), count_new }
    }
}

impl SqliteReader {
    pub(super) fn new(connection: Connection, variant: Variant) -> Self {
        let texts = Wanted::ALL
            .map(|wanted| [Filter::session(wanted), Filter::thread(wanted)].map(|filter| Texts::new(filter, variant)));
        SqliteReader { connection, variant, texts: texts.into() }
    }

    fn texts(&self, filter: Filter) -> &Texts {
        &self.texts[filter.wanted as usize][filter.standing.thread() as usize]
    }

    fn number(&self, text: &str, params: impl Params) -> Result<u64> {
        let number: i64 = self.connection.prepare_cached(text)?.query_row(params, |row| row.get(0))?;
        Ok(u64::try_from(number)?)
    }
}

/// What a listing is of: a session's number, or its thread's.
fn scope(session: u32, filter: Filter) -> i64 {
    match filter.standing {
        Standing::Loose => i64::from(session),
        Standing::Threaded => -(i64::from(session) << 32 | i64::from(filter.standing.thread())),
    }
}

fn row(row: &rusqlite::Row<'_>) -> Result<Row> {
    let pk: i64 = row.get(0)?;
    let thread: Option<i64> = row.get(3)?;
    Ok(Row {
        number: pk as u32,
        id: row.get_ref(1)?.as_blob()?.try_into()?,
        class: Class::from_number(row.get(2)?).ok_or("a message of no known class")?,
        thread: thread.map_or(0, |thread| -thread as u32),
        ts: row.get_ref(4)?.as_i64()?.try_into()?,
        created_at: row.get_ref(5)?.as_i64()?.try_into()?,
        text: row.get_ref(6)?.as_str()?.to_owned(),
        turn: row.get_ref(7)?.as_i64_or_null()?.unwrap_or_default() as u32,
        tool_call_id: row.get_ref(8)?.as_str_or_null()?.map(str::to_owned),
        name: row.get_ref(9)?.as_str_or_null()?.map(str::to_owned),
        more: row.get_ref(10)?.as_str_or_null()?.map(str::to_owned),
    })
}

impl Reader for SqliteReader {
    fn page(&mut self, session: u32, filter: Filter, page: u64) -> Answered<Row> {
        let (scope, skipped) = (scope(session, filter), (page - 1) * u64::from(PAGE));
        let texts = self.texts(filter);
        let mut statement = self.connection.prepare_cached(&texts.page)?;
        let mut rows = statement.query(params![scope, i64::try_from(skipped)?])?;
        let (mut items, mut total) = (Vec::with_capacity(PAGE as usize), None);
        while let Some(found) = rows.next()? {
            if total.is_none() {
                total = Some(u64::try_from(found.get_ref(11)?.as_i64()?)?);
            }
            items.push(row(found)?);
        }
        drop(rows);
        let total = match total {
            Some(total) => total,
            // Without rows there is nothing that the total could come with.
            None => self.number(&texts.count, [scope])?,
        };
        Ok(Box::new(Found { total, items }))
    }

    fn poll(&mut self, session: u32, filter: Filter, after: u64) -> Answered<Row> {
        let (scope, after) = (scope(session, filter), i64::try_from(after)?);
        let texts = self.texts(filter);
        let mut statement = self.connection.prepare_cached(&texts.poll)?;
        let mut rows = statement.query(params![scope, after])?;
        let mut items = Vec::new();
        while let Some(found) = rows.next()? {
            items.push(row(found)?);
        }
        // A page that is not full has them all.
        let total = match items.len() {
            few if few < PAGE as usize => few as u64,
            _ => self.number(&texts.count_new, params![scope, after])?,
        };
        Ok(Box::new(Found { total, items }))
    }

    fn history(&mut self, session: u32, limit: u32) -> Answered<Row> {
        let mut statement = self.connection.prepare_cached(HISTORY)?;
        let mut rows = statement.query(params![i64::from(session) << 32, i64::from(session + 1) << 32, limit])?;
        let mut items = Vec::with_capacity(limit as usize);
        while let Some(found) = rows.next()? {
            items.push(row(found)?);
        }
        items.reverse();
        Ok(Box::new(Found { total: items.len() as u64, items }))
    }

    fn sessions(&mut self) -> Answered<Listed> {
        let text = match self.variant {
            Variant::Plain => SESSIONS,
            Variant::Positions => SESSIONS_COUNTED,
        };
        let mut statement = self.connection.prepare_cached(text)?;
        let mut rows = statement.query([PAGE])?;
        let (mut items, mut total) = (Vec::with_capacity(PAGE as usize), 0);
        while let Some(found) = rows.next()? {
            total = found.get_ref(7)?.as_i64()?;
            items.push(Listed {
                id: found.get_ref(0)?.as_blob()?.try_into()?,
                key: found.get_ref(1)?.as_str()?.to_owned(),
                label: found.get_ref(2)?.as_str_or_null()?.map(str::to_owned),
                status: found.get(3)?,
                created_at: found.get_ref(4)?.as_i64()?.try_into()?,
                last: found.get(5)?,
                updated_at: found.get_ref(6)?.as_i64()?.try_into()?,
            });
        }
        Ok(Box::new(Found { total: total.try_into()?, items }))
    }

    fn messages_in_feed(&mut self, session: u32) -> Result<u32> {
        let low = i64::from(session) << 32;
        let text = "SELECT count(*) FROM changes WHERE pk BETWEEN ?1 AND ?2 AND kind = 1";
        Ok(self.number(text, [low + 1, low + 1000])?.try_into()?)
    }
}

const HISTORY: &str = "
SELECT pk, id, class, thread, ts, created_at, text, turn, tool_call_id, name, more FROM messages
WHERE pk > ?1 AND pk < ?2 AND deleted = 0 ORDER BY pk DESC LIMIT ?3";

const SESSIONS: &str = "
SELECT id, key, label, status, created_at, last, updated_at, (SELECT count(*) FROM sessions) FROM sessions
ORDER BY updated_at DESC, n DESC LIMIT ?1";

const SESSIONS_COUNTED: &str = "
SELECT id, key, label, status, created_at, last, updated_at, (SELECT n FROM totals WHERE what = 'sessions')
FROM sessions ORDER BY updated_at DESC, n DESC LIMIT ?1";
