//! The source of randomness, and the variables that reproduce a failure.
//!
//! | variable | meaning |
//! |---|---|
//! | `TIDEWATER_SEED` | the only seed to try |
//! | `TIDEWATER_ROUNDS` | a factor for the number of seeds (default 1) |
//! | `TIDEWATER_SHAPE` | only shapes whose name contains this |

use std::env;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The seeds to try: only `TIDEWATER_SEED` if it is set, otherwise `rounds` times `TIDEWATER_ROUNDS` seeds.
#[must_use]
pub fn seeds(rounds: u64) -> Vec<u64> {
    match number("TIDEWATER_SEED") {
        Some(seed) => vec![seed],
        None => (0..rounds * number("TIDEWATER_ROUNDS").unwrap_or(1)).collect(),
    }
}

/// Whether the shape of this name is to be tried.
#[must_use]
pub fn chosen(name: &str) -> bool {
    env::var("TIDEWATER_SHAPE").map_or(true, |part| name.contains(&part))
}

/// The generator for `seed` and `name`. Shapes under one seed draw different numbers.
#[must_use]
pub fn generator(seed: u64, name: &str) -> ChaCha8Rng {
    let name = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ChaCha8Rng::seed_from_u64(seed ^ name)
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a whole number, not '{text}'")),
    )
}
