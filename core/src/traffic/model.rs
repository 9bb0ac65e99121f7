//! Users and their habits: who acts, what they do, where.
//!
//! Weights: login 20 %, click 50 %, purchase 15 %, logout 15 %; ten pages, two sources, all alike in the plain profile. Four of
//! five events come from the 200 users active of late, the rest from the whole population, which grows by the hour.
//!
//! Assumes a [`Population`] of at least one (it is raised to one). Promises that a seed decides everything.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::dress;
use super::text::Clock;

/// The valid event types; an [`Event`]'s `kind` is an index.
pub const TYPES: [&str; 4] = ["login", "click", "purchase", "logout"];
/// Index of `login` in [`TYPES`].
pub const LOGIN: u8 = 0;
/// Index of `purchase` in [`TYPES`].
pub const PURCHASE: u8 = 2;
/// The pages; an [`Event`]'s `page` is an index, or [`NO_PAGE`].
pub const PAGES: [&str; 10] =
    ["/home", "/products", "/products/detail", "/cart", "/checkout", "/profile", "/settings", "/search", "/about", "/help"];
/// An event without a page, which is valid.
pub const NO_PAGE: u8 = u8::MAX;
/// The valid sources; an [`Event`]'s `source` is an index.
pub const SOURCES: [&str; 2] = ["web", "mobile"];

/// Users that are active at any moment.
pub const ACTIVE_USERS: usize = 200;
const HOUR_US: i64 = 3_600_000_000;
/// Upper bounds, in twentieths, of the draw for each of [`TYPES`].
const TYPE_BOUNDS: [u64; 4] = [4, 14, 17, 20];
/// How popular each of [`PAGES`] is, in percent, in the realistic profile.
const POPULARITY: [u64; 10] = [28, 20, 16, 8, 5, 5, 3, 10, 2, 3];
/// Traffic per hour of the day (UTC) in the realistic profile; 100 is the day's mean.
const RHYTHM: [u32; 24] =
    [40, 30, 25, 20, 20, 30, 50, 80, 110, 130, 135, 140, 145, 140, 135, 130, 130, 140, 160, 170, 165, 135, 90, 50];

/// How traffic is spread over pages and hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// All pages and hours alike.
    #[default]
    Plain,
    /// Some pages are popular; nights are quiet and evenings busy.
    Realistic,
}

impl Profile {
    /// Traffic in the hour of this moment, in percent of the day's mean.
    pub fn weight(self, at_us: i64) -> u32 {
        match self {
            Self::Plain => 100,
            Self::Realistic => RHYTHM[at_us.div_euclid(HOUR_US).rem_euclid(24) as usize],
        }
    }
}

/// How many users there are, and how many join per hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Population {
    /// Users at the start.
    pub num_users: u64,
    /// New users per hour.
    pub growth_per_hour: f64,
}

impl Population {
    /// Users after this long. Never below one.
    pub fn after(&self, elapsed_us: i64) -> u64 {
        let joined = (self.growth_per_hour * elapsed_us as f64 / HOUR_US as f64).max(0.0);
        self.num_users.saturating_add(joined as u64).max(1)
    }
}

/// A valid event before it is text. The text is a function of it: repeating an event means writing it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// A version 4 UUID.
    pub id: u128,
    /// Microseconds since 1970.
    pub at_us: i64,
    /// From 1.
    pub user: u64,
    /// Index into [`TYPES`].
    pub kind: u8,
    /// Index into [`PAGES`], or [`NO_PAGE`].
    pub page: u8,
    /// Index into [`SOURCES`].
    pub source: u8,
    /// How it is written: 0 for the usual form, else one of [`dress::NAMES`] counted from 1.
    pub dress: u8,
}

/// Draws events.
#[derive(Debug, Clone)]
pub struct Model {
    rng: Pcg64Mcg,
    profile: Profile,
    active: Vec<u64>,
    clock: Clock,
}

impl Model {
    /// A model whose every draw follows from the seed.
    pub fn new(seed: u64, profile: Profile) -> Self {
        let rng = Pcg64Mcg::seed_from_u64(seed);
        Self { rng, profile, active: Vec::with_capacity(ACTIVE_USERS), clock: Clock::default() }
    }

    /// A random number.
    pub fn draw(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// A random number below `bound` (which is raised to 1).
    pub fn below(&mut self, bound: u64) -> u64 {
        scale(self.rng.next_u64(), bound.max(1))
    }

    /// An event at this time by one of so many users.
    pub fn event(&mut self, at_us: i64, users: u64) -> Event {
        let (high, low) = (u128::from(self.rng.next_u64()), u128::from(self.rng.next_u64()));
        // Version 4, variant 1: the bits that make 122 random ones a UUID.
        let id = ((high << 64 | low) & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
        let user = self.user(users.max(1));
        // One draw decides three things: 16 bits each for type and page, one for the source.
        let draw = self.rng.next_u64();
        let kind = scale16(draw, 20);
        let page = match self.profile {
            Profile::Plain => scale16(draw >> 16, 10),
            Profile::Realistic => {
                let mut percent = scale16(draw >> 16, 100);
                let page = POPULARITY.iter().position(|share| {
                    let hit = percent < *share;
                    percent = percent.wrapping_sub(*share);
                    hit
                });
                page.unwrap_or(0) as u64
            }
        };
        Event {
            id,
            at_us,
            user,
            kind: TYPE_BOUNDS.iter().filter(|bound| kind >= **bound).count() as u8,
            page: page as u8,
            source: (draw >> 63) as u8,
            dress: 0,
        }
    }

    /// Four of five times one of the active users; else anybody, who becomes active in the place of another.
    fn user(&mut self, users: u64) -> u64 {
        let draw = self.rng.next_u64();
        let slot = scale16(draw, ACTIVE_USERS as u64) as usize;
        if let Some(user) = self.active.get(slot % self.active.len().max(1))
            && scale16(draw >> 16, 5) < 4
        {
            return *user;
        }
        let user = 1 + scale(self.rng.next_u64(), users);
        match self.active.get_mut(slot) {
            Some(active) => *active = user,
            None => self.active.push(user),
        }
        user
    }

    /// The event as text, behind what `out` already holds.
    pub fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        dress::push(out, &mut self.clock, event);
    }
}

/// A draw of 64 bits scaled to `[0, bound)`.
fn scale(draw: u64, bound: u64) -> u64 {
    ((u128::from(draw) * u128::from(bound)) >> 64) as u64
}

/// The lowest 16 bits of a draw scaled to `[0, bound)`. The largest error of any share is 1/65536.
fn scale16(draw: u64, bound: u64) -> u64 {
    ((draw & 0xffff) * bound) >> 16
}
