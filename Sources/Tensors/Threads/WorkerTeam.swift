internal import CMartletKernels
internal import Glibc
internal import Synchronization

/// Work that a team does together. What is done over and over is an object: a closure that other
/// threads call is memory to allocate each time.
package protocol TeamWork: AnyObject {
    /// Called once for each member, at the same time.
    func doPart(of member: Int)
}

private final class ClosureWork: TeamWork {
    private let work: (Int) -> Void

    init(_ work: @escaping (Int) -> Void) { self.work = work }

    func doPart(of member: Int) { work(member) }
}

/// A fixed team of threads that run one piece of work together, over and over.
///
/// The caller is member 0 and works too. Between pieces the others spin for a moment, then sleep,
/// so that a step's hundreds of pieces cost well under a microsecond each to start and an idle
/// server costs nothing. One thread at a time may call `run`.
///
/// Nothing that happens within a step is written by all members, so that it costs many of them what it
/// costs a few: see docs/performance.md, "Many cores".
package final class WorkerTeam: Sendable {
    package let memberCount: Int
    private let state: State
    private let meetings: MeetingPoint
    /// Pieces taken of each member's share: two for each member, used in turn.
    private let counters: CounterLines

    /// Starts `memberCount - 1` threads.
    package init(memberCount: Int) {
        precondition(memberCount >= 1, "A team has at least one member.")
        self.memberCount = memberCount
        meetings = MeetingPoint(memberCount: memberCount)
        state = State(meetings)
        counters = CounterLines(count: 2 * memberCount)
        for member in 1..<max(memberCount, 1) { state.start(member: member) }
    }

    deinit { state.stop() }

    /// Processors that the process may use, by its affinity and by its container's limit. On machines
    /// whose cores run two threads each, half of them is as fast for dense arithmetic; the operator can
    /// say so with `--threads`.
    package static var defaultMemberCount: Int {
        let processorCount = max(1, cmk_usable_processors())
        return min(processorCount, ProcessorQuota().processorCount ?? processorCount)
    }

    /// Has every member do its part, at the same time, and returns when all are done.
    package func run(_ work: some TeamWork) {
        guard memberCount > 1 else { return work.doPart(of: 0) }
        state.begin(work)
        work.doPart(of: 0)
        meetings.meet(0)
        state.end()
    }

    /// Calls `work` once for each member number, at the same time, and returns when all are done.
    package func run(_ work: (_ member: Int) -> Void) {
        guard memberCount > 1 else { return work(0) }
        withoutActuallyEscaping(work) { run(ClosureWork($0)) }
    }

    // MARK: Inside `run`

    /// Waits until every member has come here: what each wrote before, all see after.
    package func meet(_ member: Int) {
        guard memberCount > 1 else { return }
        meetings.meet(member)
    }

    /// Calls `work` for pieces 0 ..< count, each once and on one member; returns when all are done.
    /// A member does its own share in order and then helps the next few, so that a thread that lost its
    /// processor holds up nobody for long. Every member calls it, with the same count.
    package func spread(_ count: Int, for member: Int, _ work: (_ piece: Int) -> Void) {
        guard memberCount > 1 else {
            for piece in 0..<count { work(piece) }
            return
        }
        // Counters of the other parity may still be in use by a member that comes from the last call.
        let parity = meetings.meetingCount(of: member) % 2
        for offset in 0...WorkerTeam.helpedCount(memberCount: memberCount) {
            let owner = (member + offset) % memberCount
            let share = share(of: count, for: owner)
            while let piece = counters.take(2 * owner + parity, below: share.count) {
                work(share.lowerBound + piece)
            }
        }
        meetings.meet(member)
        counters.set(2 * member + parity, to: 0)
    }

    /// The contiguous part of 0 ..< count that falls to a member.
    package func share(of count: Int, for member: Int) -> Range<Int> {
        WorkerTeam.share(of: count, for: member, of: memberCount)
    }

    package static func share(
        of count: Int, for member: Int, of memberCount: Int
    ) -> Range<Int> {
        count * member / memberCount..<count * (member + 1) / memberCount
    }

    // MARK: What a team costs, to be counted

    /// Members whose work one helps with: all in a small team, else those after it. Each look at
    /// a counter fetches a line that another processor wrote, and if all looked at all, a team of n
    /// would fetch n² of them for each product.
    package static func helpedCount(memberCount: Int) -> Int { min(memberCount - 1, 7) }

    /// Lines that a member writes, and others that it waits for, in one meeting.
    package static func roundCount(memberCount: Int) -> Int {
        MeetingPoint.roundCount(memberCount: memberCount)
    }

    /// Meetings so far, the end of each `run` among them; between runs.
    package var meetingCount: Int { meetings.meetingCount(of: 0) }

    /// What the threads share. They keep it alive, not the team, so that dropping the team ends them.
    @safe private final class State: @unchecked Sendable {
        // Safety: `work` is written only while no other member runs (before an epoch begins and after
        // the meeting that ends it) and read by the others after they saw the new epoch; mutex and
        // condition are used by their rules.
        private let meetings: MeetingPoint
        private let stopping = Atomic<Bool>(false)
        private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
        /// What members look at while they wait for work, away from what else changes.
        private let epoch = CounterLine()
        private let sleeping = CounterLine()
        private var work: (any TeamWork)?

        private static let spinsBeforeSleep = 20_000

        init(_ meetings: MeetingPoint) {
            self.meetings = meetings
            unsafe pthread_mutex_init(mutex, nil)
            unsafe pthread_cond_init(condition, nil)
        }

        deinit {
            unsafe pthread_cond_destroy(condition)
            unsafe pthread_mutex_destroy(mutex)
            unsafe condition.deallocate()
            unsafe mutex.deallocate()
        }

        func start(member: Int) {
            let context = unsafe Unmanaged.passRetained(Start(state: self, member: member))
            var thread = pthread_t()
            let result = unsafe pthread_create(
                &thread, nil,
                { context in
                    guard let context = unsafe context else { return nil }
                    let start = unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
                    start.state.serve(as: start.member)
                    return nil
                }, context.toOpaque())
            precondition(result == 0, "Cannot start a worker thread: error \(result).")
            pthread_detach(thread)
        }

        func begin(_ work: any TeamWork) {
            self.work = work
            wake()
        }

        func end() { work = nil }

        func stop() {
            stopping.store(true, ordering: .sequentiallyConsistent)
            wake()
        }

        private func wake() {
            epoch.value.add(1, ordering: .sequentiallyConsistent)
            guard sleeping.value.load(ordering: .sequentiallyConsistent) > 0 else { return }
            unsafe pthread_mutex_lock(mutex)
            unsafe pthread_cond_broadcast(condition)
            unsafe pthread_mutex_unlock(mutex)
        }

        private func serve(as member: Int) {
            var seen = 0
            while true {
                seen = waitForEpoch(after: seen)
                if stopping.load(ordering: .sequentiallyConsistent) { return }
                doPart(of: member)
                meetings.meet(member)
            }
        }

        /// No reference to the work is left after it: once all have met, the work may be gone.
        @inline(never) private func doPart(of member: Int) { work?.doPart(of: member) }

        private func waitForEpoch(after seen: Int) -> Int {
            for _ in 0..<State.spinsBeforeSleep {
                let current = epoch.value.load(ordering: .acquiring)
                if current != seen { return current }
                cmk_relax()
            }
            unsafe pthread_mutex_lock(mutex)
            sleeping.value.add(1, ordering: .sequentiallyConsistent)
            while epoch.value.load(ordering: .sequentiallyConsistent) == seen {
                unsafe pthread_cond_wait(condition, mutex)
            }
            sleeping.value.subtract(1, ordering: .sequentiallyConsistent)
            unsafe pthread_mutex_unlock(mutex)
            return epoch.value.load(ordering: .acquiring)
        }
    }

    private final class Start {
        let state: State
        let member: Int

        init(state: State, member: Int) {
            self.state = state
            self.member = member
        }
    }
}
