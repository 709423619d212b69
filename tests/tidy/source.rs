//! A source file, and what can be read in it: its code without comments and strings, and the paths it names.

use std::path::Path;

/// A file of the project.
pub struct Source {
    /// From the project's root, with `/` between its parts.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// Rust only: strings blanked out.
    pub prose: String,
    /// Rust only: strings and comments blanked out.
    pub code: String,
}

/// A path that the code names, such as `std::sync::Arc`; groups of a `use` are taken apart.
pub struct Named {
    pub line: usize,
    pub segments: Vec<String>,
    /// Whether it stands in a `use`.
    pub imported: bool,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let (prose, code) = if path.ends_with(".rs") { views(text) } else { Default::default() };
        Source { path: path.to_owned(), text: text.to_owned(), prose, code }
    }

    /// Whether it is Rust in one of these folders.
    pub fn is_rust_in(&self, folders: &[&str]) -> bool {
        self.path.ends_with(".rs") && folders.iter().any(|folder| self.path.starts_with(&format!("{folder}/")))
    }

    /// Whether it is a part of the library and not of its tests.
    pub fn is_library(&self) -> bool {
        self.is_rust_in(&["src"]) && !self.path.contains("/tests/") && !self.path.ends_with("/tests.rs")
    }

    pub fn paths(&self) -> Vec<Named> {
        let tokens = tokens(&self.code);
        let (mut found, mut at) = (Vec::new(), 0);
        while at < tokens.len() {
            if tokens[at].text == "use" {
                at = use_tree(&tokens, at + 1, &[], &mut found);
            } else if is_word(&tokens[at].text) {
                let line = tokens[at].line;
                let mut segments = vec![tokens[at].text.clone()];
                while tokens.get(at + 1).is_some_and(|t| t.text == "::")
                    && tokens.get(at + 2).is_some_and(|t| is_word(&t.text))
                {
                    segments.push(tokens[at + 2].text.clone());
                    at += 2;
                }
                found.push(Named { line, segments, imported: false });
                at += 1;
            } else {
                at += 1;
            }
        }
        found
    }
}

/// All text files of the project, without what building leaves.
pub fn project() -> Vec<Source> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<Source>) {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    walk(&path, root, found);
                }
            } else if name != ".git"
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                let parts: Vec<_> = path
                    .strip_prefix(root)
                    .expect("below the root")
                    .iter()
                    .map(|part| part.to_string_lossy())
                    .collect();
                found.push(Source::new(&parts.join("/"), &text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

struct Token {
    line: usize,
    text: String,
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::`, and every other character on its own.
fn tokens(code: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for (index, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = if word > 0 {
                word
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Token { line: index + 1, text: rest[..length].to_owned() });
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// Takes one tree of a `use` apart, from `at` on; answers with where it ends.
fn use_tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Named>) -> usize {
    let (mut segments, mut line) = (before.to_vec(), 0);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => {}
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    let next = use_tree(tokens, at, &segments, found);
                    at = if tokens.get(next).is_some_and(|token| token.text == ",") {
                        next + 1
                    } else {
                        next.max(at + 1)
                    };
                }
                return at + 1;
            }
            "as" => at += 1,
            text if is_word(text) || text == "*" => {
                line = token.line;
                segments.push(text.to_owned());
            }
            _ => break,
        }
        at += 1;
    }
    if segments.len() > before.len() {
        found.push(Named { line, segments, imported: true });
    }
    at
}

/// The text with strings blanked out, and the same with comments blanked out too. Lines stay where they are.
fn views(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut prose, mut code) = (String::new(), String::new());
    let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        if let Some(length) = comment(rest) {
            prose.extend(&rest[..length]);
            code.extend(rest[..length].iter().map(blank));
            at += length;
        } else if let Some(length) = literal(&chars[..at], rest) {
            prose.extend(rest[..length].iter().map(blank));
            code.extend(rest[..length].iter().map(blank));
            at += length;
        } else {
            prose.push(chars[at]);
            code.push(chars[at]);
            at += 1;
        }
    }
    (prose, code)
}

/// How long the comment is that begins here, if one does.
fn comment(rest: &[char]) -> Option<usize> {
    match rest {
        ['/', '/', ..] => Some(rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => {
            let (mut depth, mut at) = (0, 0);
            loop {
                match rest.get(at..) {
                    None | Some([]) => return Some(rest.len()),
                    Some(['/', '*', ..]) => (depth, at) = (depth + 1, at + 2),
                    Some(['*', '/', ..]) if depth == 1 => return Some(at + 2),
                    Some(['*', '/', ..]) => (depth, at) = (depth - 1, at + 2),
                    Some(_) => at += 1,
                }
            }
        }
        _ => None,
    }
}

/// How long the string or character is that begins here, if one does.
fn literal(before: &[char], rest: &[char]) -> Option<usize> {
    let in_word = before.last().is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let prefix = rest.iter().take(2).take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    if !in_word && prefix > 0 && rest[prefix - 1] == 'r' {
        let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
        if rest.get(prefix + hashes) == Some(&'"') {
            let body = prefix + hashes + 1;
            let closes = |at: &usize| {
                rest[*at] == '"' && rest[*at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
            };
            return Some((body..rest.len()).find(closes).map_or(rest.len(), |end| end + 1 + hashes));
        }
    }
    match rest {
        ['"', ..] => quoted(rest, '"'),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
        _ => None,
    }
}

fn quoted(rest: &[char], mark: char) -> Option<usize> {
    let mut at = 1;
    while at < rest.len() && rest[at] != mark {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    Some(rest.len().min(at + 1))
}
