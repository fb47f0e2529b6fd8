//! What follows a verb on the command line.

use anyhow::{Result, anyhow, bail};

/// The words and options after a verb. A verb takes what it knows, then calls [`Args::finish`].
pub(crate) struct Args {
    rest: Vec<String>,
}

impl Args {
    pub(crate) fn new(rest: Vec<String>) -> Self {
        Self { rest }
    }

    /// Whether `--name` is there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.rest.len();
        self.rest.retain(|arg| arg != name);
        self.rest.len() < before
    }

    /// The value of `--name VALUE` or `--name=VALUE`.
    pub(crate) fn option(&mut self, name: &str) -> Result<Option<String>> {
        let assigned = format!("{name}=");
        let Some(at) = self.rest.iter().position(|arg| arg == name || arg.starts_with(&assigned)) else {
            return Ok(None);
        };
        let arg = self.rest.remove(at);
        if let Some(value) = arg.strip_prefix(&assigned) {
            return Ok(Some(value.to_owned()));
        }
        if at == self.rest.len() {
            bail!("{name} needs a value after it");
        }
        Ok(Some(self.rest.remove(at)))
    }

    /// The value of a whole-number option.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.option(name)? else { return Ok(None) };
        value.parse().map(Some).map_err(|_| anyhow!("{name} needs a whole number, not `{value}`"))
    }

    /// The next word that is not an option.
    pub(crate) fn word(&mut self) -> Option<String> {
        let at = self.rest.iter().position(|arg| !arg.starts_with('-'))?;
        Some(self.rest.remove(at))
    }

    /// Refuses whatever nobody took.
    pub(crate) fn finish(self, usage: &str) -> Result<()> {
        match self.rest.first() {
            None => Ok(()),
            Some(arg) => bail!("`{arg}` is not understood here\nusage: cargo xtask {usage}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_flags_and_words_come_in_any_order() {
        let mut args = args("--seeds 300 world --list --only=wasm");
        assert!(args.flag("--list") && !args.flag("--list"));
        assert_eq!(args.number("--seeds").unwrap(), Some(300));
        assert_eq!(args.option("--only").unwrap().as_deref(), Some("wasm"));
        assert_eq!(args.word().as_deref(), Some("world"));
        assert!(args.finish("sim").is_ok());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(args("--seeds").number("--seeds").is_err());
        assert!(args("--seeds many").number("--seeds").is_err());
        assert!(args("--sedes 3").finish("sim --seeds N").unwrap_err().to_string().contains("--sedes"));
    }
}
