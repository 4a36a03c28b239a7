//! The network between agents: every direction of every pair has its own fate.

use super::clock::Real;
use super::dice::Dice;

/// How bad the weather is: applies to every link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Lost, in percent.
    pub(crate) loss: u32,
    /// Sent twice, in percent.
    pub(crate) duplicates: u32,
    /// Delayed by much more than usual (and so reordered), in percent.
    pub(crate) stragglers: u32,
    /// Usual delay, at most, in microseconds.
    pub(crate) delay: u64,
    /// Delay of a straggler, at most.
    pub(crate) straggle: u64,
}

impl Weather {
    pub(crate) const FINE: Self = Self { loss: 0, duplicates: 0, stragglers: 0, delay: 1_500, straggle: 0 };
    pub(crate) const USUAL: Self = Self { loss: 1, duplicates: 2, stragglers: 1, delay: 3_000, straggle: 400_000 };
    pub(crate) const STORM: Self =
        Self { loss: 25, duplicates: 15, stragglers: 15, delay: 40_000, straggle: 2_500_000 };
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Network {
    size: usize,
    cut: Vec<bool>,
    pub(crate) weather: Weather,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) cut_off: u64,
}

impl Network {
    pub(crate) fn new(size: usize) -> Self {
        Self { size, cut: vec![false; size * size], weather: Weather::USUAL, lost: 0, duplicated: 0, cut_off: 0 }
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from * self.size + to]
    }

    pub(crate) fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        self.cut[from * self.size + to] = cut;
    }

    pub(crate) fn heal(&mut self) {
        self.cut.fill(false);
    }

    /// When the copies of a message arrive: none, one or two times.
    pub(crate) fn arrivals(&mut self, from: usize, to: usize, now: Real, dice: &mut Dice) -> [Option<Real>; 2] {
        if self.is_cut(from, to) {
            self.cut_off += 1;
            return [None, None];
        }
        if dice.percent(self.weather.loss) {
            self.lost += 1;
            return [None, None];
        }
        let first = Some(now + self.delay(dice));
        let second = dice.percent(self.weather.duplicates).then(|| now + self.delay(dice));
        self.duplicated += u64::from(second.is_some());
        [first, second]
    }

    fn delay(&self, dice: &mut Dice) -> u64 {
        if dice.percent(self.weather.stragglers) {
            return dice.range(self.weather.delay, self.weather.straggle);
        }
        dice.range(100, self.weather.delay)
    }
}
