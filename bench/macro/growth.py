"""Whether a figure grows in the course of a run.

Two estimates that single outliers do not move: Theil and Sen's slope (the median of the slopes between all pairs of samples)
over the time that was watched, and the median of the last third less that of the first. A figure grows if both say so, by more
than its limit: a step at one moment, or a wave that is cut at a bad place, moves one of them alone.
"""

import statistics

SAMPLES_MIN = 12  # fewer are no ground for a judgement
PAIRED_MAX = 400  # samples of which all pairs are looked at; more are thinned evenly


class Limit:
    """How much a figure may grow in a run: a share of its level, or an amount where the level is small."""

    def __init__(self, share, amount):
        self._share, self._amount = share, amount

    def at(self, level):
        return max(self._share * level, self._amount)


class Growth:
    """Of one figure: level (median of the first third), both estimates over the whole time, slope an hour, and the limit."""

    def __init__(self, name, unit, seconds, values, limit):
        self.name, self.unit, self.samples = name, unit, len(values)
        third = max(1, len(values) // 3)
        self.level, self.last = statistics.median(values[:third]), statistics.median(values[-third:])
        slope = theil_sen(seconds, values)
        self.by_slope, self.by_thirds = slope * (seconds[-1] - seconds[0]), self.last - self.level
        self.per_hour, self.limit = 3600 * slope, limit.at(self.level)

    @property
    def judged(self):
        return self.samples >= SAMPLES_MIN

    @property
    def grows(self):
        return self.judged and min(self.by_slope, self.by_thirds) > self.limit

    @property
    def verdict(self):
        if not self.judged:
            return "too short"
        return "GROWS" if self.grows else "pass"

    def as_dict(self):
        return {"name": self.name, "unit": self.unit, "samples": self.samples, "first_third": self.level, "last_third": self.last,
                "growth_by_slope": self.by_slope, "growth_by_thirds": self.by_thirds, "per_hour": self.per_hour,
                "limit": self.limit, "verdict": self.verdict}


def theil_sen(seconds, values):
    step = -(-len(values) // PAIRED_MAX)
    points = list(zip(seconds, values))[::step]
    slopes = [(y - before) / (x - begin) for at, (x, y) in enumerate(points) for begin, before in points[:at] if x > begin]
    return statistics.median(slopes) if slopes else 0.0


def print_growth(growths):
    if not growths:
        return
    width = max(len(growth.name) for growth in growths)
    print(f"\n{'growth':<{width}}  {'first third':>11} {'last third':>10} {'by slope':>9} {'an hour':>9} {'limit':>8} unit  verdict")
    for growth in growths:
        print(f"{growth.name:<{width}}  {growth.level:11.2f} {growth.last:10.2f} {growth.by_slope:+9.2f} "
              f"{growth.per_hour:+9.2f} {growth.limit:8.2f} {growth.unit:<4}  {growth.verdict}")


def self_test():
    """The judgement on what is known: noise, waves and outliers pass; a leak, slow or late, does not."""
    seconds = [5.0 * at for at in range(120)]
    noise = [(at * 7919) % 13 - 6 for at in range(120)]
    limit = Limit(share=0.05, amount=1)
    cases = {"noise": ([100 + n for n in noise], False),
             "outliers": ([100 + n + (900 if at % 17 == 0 else 0) for at, n in enumerate(noise)], False),
             "a sawtooth": ([100 + 2 * (at % 11) for at in range(120)], False),
             "it shrinks": ([200 - at for at in range(120)], False),
             "a leak": ([100 + 0.1 * at + n for at, n in enumerate(noise)], True),
             "a leak from the middle on": ([100 + max(0, at - 50) + n for at, n in enumerate(noise)], True),
             "too short": ([100 + 10 * at for at in range(SAMPLES_MIN - 1)], False)}
    wrong = [name for name, (values, grows) in cases.items()
             if Growth(name, "", seconds[:len(values)], values, limit).grows != grows]
    if wrong:
        raise AssertionError(f"judged wrongly: {', '.join(wrong)}")
