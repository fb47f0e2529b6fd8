//! `relay token`: signs a token, as an identity provider would.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use relay::auth::{Claims, Role, Secret};
use relay::server::read_secret;

/// Most seconds that a token for trying something out may be valid: thirty days.
const SECONDS_MAX: u64 = 30 * 24 * 3600;

#[derive(Args)]
pub(super) struct Sign {
    /// Who bears the token
    subject: String,

    /// The file with the secret that the relay checks tokens with
    #[arg(long, value_name = "FILE", env = "RELAY_TOKEN_SECRET")]
    token_secret: PathBuf,

    /// Whose documents it is about [default: the relay's own tenant]
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,

    /// For whom it is
    #[arg(long, value_enum, default_value_t = RoleName::User)]
    role: RoleName,

    /// For how long it is valid: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds)]
    valid_for: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleName {
    /// A person: their own documents, and those shared with them
    User,
    /// A program that reads everything, such as a backup
    Reader,
    /// A program that also writes everything, such as a payment bridge
    Service,
    /// Whoever decides about access and looks after the relay
    Admin,
}

/// Prints the token, and nothing else, so that it can be used in a command.
pub(super) fn run(token: &Sign) -> Result<()> {
    let secret: Secret = read_secret(&token.token_secret)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let mut claims = Claims::user(&token.subject, now + token.valid_for);
    claims.tenant.clone_from(&token.tenant);
    claims.role = match token.role {
        RoleName::User => Role::User,
        RoleName::Reader => Role::Reader,
        RoleName::Service => Role::Service,
        RoleName::Admin => Role::Admin,
    };
    println!("{}", secret.sign(&claims)?);
    Ok(())
}

fn seconds(text: &str) -> Result<u64> {
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let number: u64 =
        number.parse().with_context(|| format!("`{text}` is not a time such as 90s, 15m, 1h or 7d"))?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => bail!("`{text}` is not a time such as 90s, 15m, 1h or 7d"),
    };
    match number.checked_mul(factor) {
        Some(seconds @ 1..=SECONDS_MAX) => Ok(seconds),
        _ => bail!("a token is valid for at least a second and at most 30 days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_bound() {
        assert_eq!(seconds("90s").unwrap(), 90);
        assert_eq!(seconds("2h").unwrap(), 7200);
        assert_eq!(seconds("30d").unwrap(), SECONDS_MAX);
        for text in ["", "h", "1", "1w", "0s", "31d", "99999999999999999999h", "1\u{fc}"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
