internal import CMartletKernels
internal import Glibc

/// Where the members of a team wait for each other, any number of times.
///
/// There is no counter in the middle, which each would have to fetch in turn: in round k a member tells
/// the one 2ᵏ behind it that it is here, and waits to hear from the one 2ᵏ before it. What it was told
/// it tells on, so after round k it has heard of the 2ᵏ⁺¹ members up to itself, and after ⌈log₂ n⌉
/// rounds of all (Hensgen, Finkel and Manber's dissemination barrier, 1988). Two members tell each
/// other once, and whoever comes last does not wait.
final class MeetingPoint: Sendable {
    private let memberCount: Int
    /// For each member the meetings that it has come to, then for each round what it was told last.
    private let lines: CounterLines

    private static let spinsBeforeYield = 2_000

    init(memberCount: Int) {
        self.memberCount = memberCount
        lines = CounterLines(
            count: memberCount * (1 + MeetingPoint.roundCount(memberCount: memberCount)))
    }

    static func roundCount(memberCount: Int) -> Int {
        memberCount > 1 ? Int.bitWidth - (memberCount - 1).leadingZeroBitCount : 0
    }

    /// Meetings that a member has come to; between two of them the same number for all.
    func meetingCount(of member: Int) -> Int { lines.value(member) }

    /// Waits until every member has come: what each wrote before, all see after.
    ///
    /// A line has one writer, whose numbers only grow. It may be a meeting ahead of its reader, which
    /// has not looked yet, and never two: that it ended a meeting means that the reader had come. So
    /// "at least" is the whole condition, and nothing has to be set back.
    ///
    /// Of the order of memory: a number is stored with release and read with acquire, and what a member
    /// does in a round comes after what it read in the one before. Happens-before is transitive, so what
    /// a member was told brings all that whoever is behind it wrote.
    func meet(_ member: Int) {
        let meeting = lines.value(member) + 1
        lines.set(member, to: meeting)
        var (distance, round) = (1, 1)
        while distance < memberCount {
            let other = member + distance
            lines.announce(
                round * memberCount + (other < memberCount ? other : other - memberCount), meeting)
            var spins = 0
            while lines.heard(round * memberCount + member) < meeting {
                spins += 1
                // Leaves the processor to others the longer it waits.
                if spins > MeetingPoint.spinsBeforeYield { sched_yield() } else { cmk_relax() }
            }
            distance *= 2
            round += 1
        }
    }
}
