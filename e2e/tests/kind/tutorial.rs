//! docs/tutorial.md, as a reader goes through it: every command is run, and shows what the page says that it shows.
//!
//! Blocks are what their fences say. `sh`: run by bash, one after the other, as in one terminal. `sh until`: run
//! again until it shows what is said below it. `python`, `yaml`: saved under the name in their first line. `console`: lines that
//! the block before has printed, in this order; `…` stands for anything, and white space of any width is the same.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::{E2e, beside_others, eventually, seconds};
use tokio::process::Command;

const PAGE: &str = "docs/tutorial.md";
/// What the page's commands use of a clone.
const CLONE: [&str; 6] = [
    "justw",
    "justfile",
    "kind-config.yaml",
    "dev",
    "charts",
    "producers",
];
/// How long one block may run.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(180);

#[tokio::test]
async fn the_tutorial_does_what_it_says() -> Result<()> {
    beside_others(async |e2e| {
        let root = repository()?;
        let text = std::fs::read_to_string(root.join(PAGE)).context(PAGE)?;
        let replacements = replacements(e2e)?;
        let page = Page::new(&text, &replacements)?;
        let folder = Folder::new(&root, &e2e.run)?;
        let outcome = page.follow(&folder).await;
        if outcome.is_err() {
            // The rest of the page would have cleaned up.
            let files = format!("{}*.yaml", replacements[0].with);
            let clean = "kubectl delete --ignore-not-found --wait=false";
            let commands = format!("for file in {files}; do {clean} -f \"$file\" || true; done");
            folder.run(&commands).await?;
        }
        outcome
    })
    .await
}

/// What is different in a test, and nothing else: cluster and plugin are there already and stay, its ports are others, and the reader's
/// `shop` has a name of this run's own, so that the page can be followed again.
fn replacements(e2e: &E2e) -> Result<Vec<Replacement>> {
    let run = format!("shop{}", e2e.run);
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let plugin = format!(
        "mkdir bin; ln -s '{}' bin/kubectl-bt; export PATH=$PWD/bin:$PATH",
        variable("E2E_KUBECTL_BT")?
    );
    let without_scheme = |url: String| url.trim_start_matches("http://").to_owned();
    Ok([
        ("shop", run),
        ("./justw up", "./justw status".to_owned()),
        ("./justw clean", "./justw topics".to_owned()),
        ("./justw plugin", plugin),
        ("localhost:9092", variable("E2E_KAFKA")?),
        (
            "localhost:9090",
            without_scheme(variable("E2E_PROMETHEUS")?),
        ),
        ("localhost:9200", without_scheme(variable("E2E_SEARCH")?)),
    ]
    .map(|(what, with)| Replacement { what, with })
    .into())
}

struct Replacement {
    what: &'static str,
    with: String,
}

fn repository() -> Result<PathBuf> {
    let e2e = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(e2e
        .parent()
        .context("the crate is in no folder")?
        .to_owned())
}

/// One block of the page.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    line: usize,
    does: Does,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Does {
    Run { again: bool },
    Show,
    Save { name: String },
}

struct Page {
    blocks: Vec<Block>,
}

impl Page {
    /// The blocks of a page, with the replacements made.
    ///
    /// # Errors
    /// When a replacement would change nothing, a block is of no known kind, or commands are left that name a port of this machine
    /// that is not the test cluster's.
    fn new(text: &str, replacements: &[Replacement]) -> Result<Self> {
        let mut blocks = blocks(text)?;
        for Replacement { what, with } in replacements {
            let mut used = false;
            for block in &mut blocks {
                used |= block.text.contains(what);
                block.text = block.text.replace(what, with);
                if let Does::Save { name } = &mut block.does {
                    *name = name.replace(what, with);
                }
            }
            ensure!(
                used,
                "{PAGE} has no command with {what} any more: the test need not replace it"
            );
        }
        let is_told = |rest: &str| replacements.iter().any(|r| rest.starts_with(&r.with));
        for block in &blocks {
            for (place, _) in block.text.match_indices("localhost:") {
                let rest = &block.text[place..];
                ensure!(
                    is_told(rest),
                    "{PAGE}:{}: the test cluster has this elsewhere: {rest:.20}",
                    block.line
                );
            }
        }
        Ok(Self { blocks })
    }

    async fn follow(&self, folder: &Folder) -> Result<()> {
        let mut blocks = self.blocks.iter().peekable();
        while let Some(block) = blocks.next() {
            let line = block.line;
            match &block.does {
                Does::Save { name } => std::fs::write(folder.path.join(name), &block.text)?,
                Does::Show => bail!("{PAGE}:{line}: no command before this output"),
                Does::Run { again } => {
                    let shown = blocks.next_if(|next| next.does == Does::Show);
                    let run = async || {
                        let printed = folder.run(&block.text).await?;
                        match shown {
                            Some(shown) => shows(&printed, &shown.text),
                            None => Ok(()),
                        }
                    };
                    let within = if *again { seconds(90) } else { Duration::ZERO };
                    eventually(&format!("{PAGE}:{line}"), within, run).await?;
                }
            }
        }
        Ok(())
    }
}

/// The fenced blocks of a page, without those that are there to be read only.
fn blocks(text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let content = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```");
        let content: String = content.map(|line| format!("{line}\n")).collect();
        let does = match kind {
            "sh" => Does::Run { again: false },
            "sh until" => Does::Run { again: true },
            "console" => Does::Show,
            "python" | "yaml" => {
                let first = content
                    .lines()
                    .next()
                    .and_then(|line| line.strip_prefix("# "));
                let name = first
                    .with_context(|| format!("{PAGE}:{}: a file without its name", number + 1))?;
                Does::Save {
                    name: name.to_owned(),
                }
            }
            "text" => continue,
            other => bail!(
                "{PAGE}:{}: a block of the unknown kind {other:?}",
                number + 1
            ),
        };
        blocks.push(Block {
            line: number + 1,
            does,
            text: content,
        });
    }
    Ok(blocks)
}

/// Whether all expected lines are among those printed, in their order.
fn shows(printed: &str, expected: &str) -> Result<()> {
    let mut rest = printed.lines();
    for line in expected.lines().filter(|line| line.trim() != "…") {
        ensure!(
            rest.any(|printed| is_like(printed, line)),
            "{line:?} is not where it should be in what was printed:\n{printed}"
        );
    }
    Ok(())
}

fn is_like(line: &str, pattern: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, pattern) = (words(line), words(pattern));
    let mut parts = pattern.split('…').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(place) = rest.find(part) else {
            return false;
        };
        rest = &rest[place + part.len()..];
        last = Some(part);
    }
    match last {
        // Nothing was left open: all of the line was meant.
        None => rest.is_empty(),
        Some("") => true,
        Some(part) => line.ends_with(part),
    }
}

/// A folder like a clone, to save files in; it is deleted in the end.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new(root: &Path, run: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("bt-tutorial-{run}"));
        std::fs::create_dir(&path)?;
        let folder = Self { path };
        for name in CLONE {
            std::os::unix::fs::symlink(root.join(name), folder.path.join(name))?;
        }
        Ok(folder)
    }

    /// Runs commands as in a terminal that stays open: what they export is there for the next.
    async fn run(&self, commands: &str) -> Result<String> {
        let script = format!(
            "if [ -e .terminal ]; then . ./.terminal; fi\n{commands}\nexport -p > .terminal\n"
        );
        let child = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = tokio::time::timeout(BLOCK_TIMEOUT, child.wait_with_output());
        let output = output
            .await
            .with_context(|| format!("still running: {commands}"))??;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.status.success(),
            "{}: {commands}\n{out}{err}",
            output.status
        );
        Ok(out.into_owned())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Links are removed, and what they point to stays.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[test]
fn what_is_shown_is_compared_line_by_line() {
    let printed = "NAME  READY   AGE\nshop  True  12s\nend\n";
    for (expected, is_shown) in [
        ("NAME READY AGE\nshop True …\n", true),
        ("…\nshop … 12s\n", true),
        ("NAME … AGE\nend\n", true),
        ("shop True\n", false),
        ("shop False …\n", false),
        ("shop … 13s\n", false),
        ("end\nshop …\n", false),
    ] {
        assert_eq!(shows(printed, expected).is_ok(), is_shown, "{expected}");
    }
}

#[test]
fn a_page_is_read_as_its_fences_say() -> Result<()> {
    let text = "Say:\n```sh\nls\n```\n```console\na\n```\n```text\nnothing\n```\n```python\n# a.py\nx = 1\n```\n```sh until\nls\n```\n";
    let does: Vec<_> = blocks(text)?
        .into_iter()
        .map(|block| (block.line, block.does))
        .collect();
    let expected = [
        (2, Does::Run { again: false }),
        (5, Does::Show),
        (
            11,
            Does::Save {
                name: "a.py".into(),
            },
        ),
        (15, Does::Run { again: true }),
    ];
    assert_eq!(does, expected);
    assert!(blocks("```ruby\n```\n").is_err(), "an unknown kind");
    assert!(
        blocks("```yaml\nkind: X\n```\n").is_err(),
        "a file without a name"
    );
    let ports = Page::new("```sh\ncurl localhost:1234\n```\n", &[]);
    assert!(ports.is_err(), "a port that the test cluster does not have");
    let idle = Replacement {
        what: "./justw up",
        with: String::new(),
    };
    assert!(
        Page::new("```sh\nls\n```\n", &[idle]).is_err(),
        "a replacement of nothing"
    );
    Ok(())
}
