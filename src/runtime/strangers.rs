//! Which strangers are named in the log: each address once in a while, and not many at a time. The sender of a datagram can be
//! forged, so a flood may come from any number of addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// How often one address is named.
const INTERVAL: Duration = Duration::from_mins(1);
/// Addresses named within an interval.
const NAMED_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub struct Strangers {
    /// When each was named, on the monotonic clock.
    named: BTreeMap<IpAddr, Duration>,
    /// How many were refused since somebody was named.
    silent: u64,
}

impl Strangers {
    /// Something of this address was refused. `Some`: it is to be told, with how many were refused since the last time and
    /// not told.
    pub fn note(&mut self, from: IpAddr, now: Duration) -> Option<u64> {
        let is_old = |at: &Duration| now.saturating_sub(*at) >= INTERVAL;
        let tells = if let Some(at) = self.named.get(&from) {
            is_old(at)
        } else {
            if self.named.len() >= NAMED_MAX {
                self.named.retain(|_, at| !is_old(at));
            }
            self.named.len() < NAMED_MAX
        };
        if !tells {
            self.silent += 1;
            return None;
        }
        self.named.insert(from, now);
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_once_an_interval() {
        let mut strangers = Strangers::default();
        let addr: IpAddr = [10, 0, 0, 1].into();
        let at = Duration::from_secs;
        assert_eq!(strangers.note(addr, at(100)), Some(0));
        assert_eq!(strangers.note(addr, at(101)), None);
        assert_eq!(strangers.note(addr, at(159)), None);
        assert_eq!(strangers.note(addr, at(160)), Some(2));
    }

    #[test]
    fn a_flood_from_everywhere_names_few() {
        let mut strangers = Strangers::default();
        let named = |strangers: &mut Strangers, at: u64| {
            let all = (0..200_u8).filter(|n| strangers.note([10, 0, 0, *n].into(), Duration::from_secs(at)).is_some());
            all.count()
        };
        assert_eq!(named(&mut strangers, 100), NAMED_MAX);
        assert_eq!(named(&mut strangers, 130), 0);
        assert_eq!(named(&mut strangers, 200), NAMED_MAX);
        assert_eq!(strangers.named.len(), NAMED_MAX);
    }
}
