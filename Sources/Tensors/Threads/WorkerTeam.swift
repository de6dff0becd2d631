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
package final class WorkerTeam: Sendable {
    package let memberCount: Int
    private let state: State
    /// Two for each member, used in turn.
    private let counters: [WorkCounter]

    /// Starts `memberCount - 1` threads.
    package init(memberCount: Int) {
        precondition(memberCount >= 1, "A team has at least one member.")
        self.memberCount = memberCount
        state = State()
        counters = (0..<2 * memberCount).map { _ in WorkCounter() }
        for member in 1..<max(memberCount, 1) { state.start(member: member) }
    }

    deinit { state.stop() }

    /// Processors that the process may use. On machines whose cores run two threads each, half of
    /// them is as fast for dense arithmetic; the operator can say so with `--threads`.
    package static var defaultMemberCount: Int {
        max(1, cmk_usable_processors())
    }

    /// Has every member do its part, at the same time, and returns when all are done.
    package func run(_ work: some TeamWork) {
        guard memberCount > 1 else { return work.doPart(of: 0) }
        state.begin(work, otherMembers: memberCount - 1)
        work.doPart(of: 0)
        state.waitForOthers()
    }

    /// Calls `work` once for each member number, at the same time, and returns when all are done.
    package func run(_ work: (_ member: Int) -> Void) {
        guard memberCount > 1 else { return work(0) }
        withoutActuallyEscaping(work) { run(ClosureWork($0)) }
    }

    // MARK: Inside `run`

    /// Waits until every member has come here: what each wrote before, all see after.
    package func meet() { state.meet(memberCount) }

    /// Calls `work` for pieces 0 ..< count, each once and on one member; returns when all are done.
    /// A member does its own share in order and then helps the others, so that a thread that lost its
    /// processor holds up nobody for long. Every member calls it, with the same count.
    package func spread(_ count: Int, for member: Int, _ work: (_ piece: Int) -> Void) {
        guard memberCount > 1 else {
            for piece in 0..<count { work(piece) }
            return
        }
        // Counters of the other parity may still be in use by a member that comes from the last call.
        let parity = state.meetingCount % 2
        for offset in 0..<memberCount {
            let owner = (member + offset) % memberCount
            let share = share(of: count, for: owner)
            while let piece = counters[2 * owner + parity].take(below: share.count) {
                work(share.lowerBound + piece)
            }
        }
        meet()
        counters[2 * member + parity].reset()
    }

    /// The contiguous part of 0 ..< count that falls to a member.
    package func share(of count: Int, for member: Int) -> Range<Int> {
        count * member / memberCount..<count * (member + 1) / memberCount
    }

    /// What the threads share. They keep it alive, not the team, so that dropping the team ends them.
    @safe private final class State: @unchecked Sendable {
        // Safety: `work` is written only while no other member runs (`remaining` is 0) and read by
        // the others after they saw the new epoch; mutex and condition are used by their rules.
        private var work: (any TeamWork)?
        private let epoch = Atomic<UInt64>(0)
        private let remaining = Atomic<Int>(0)
        private let sleeping = Atomic<Int>(0)
        private let stopping = Atomic<Bool>(false)
        private let arrived = Atomic<Int>(0)
        private let meetings = Atomic<Int>(0)
        private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

        private static let spinsBeforeSleep = 20_000
        private static let spinsBeforeYield = 2_000

        init() {
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

        func begin(_ work: any TeamWork, otherMembers: Int) {
            self.work = work
            remaining.store(otherMembers, ordering: .relaxed)
            wake()
        }

        func waitForOthers() {
            var spins = 0
            while remaining.load(ordering: .acquiring) > 0 { State.wait(&spins) }
            work = nil
        }

        /// Meetings so far; the same for every member between two of them.
        var meetingCount: Int { meetings.load(ordering: .relaxed) }

        func meet(_ memberCount: Int) {
            guard memberCount > 1 else { return }
            let count = meetings.load(ordering: .relaxed)
            if arrived.add(1, ordering: .acquiringAndReleasing).newValue == memberCount {
                arrived.store(0, ordering: .relaxed)
                meetings.store(count &+ 1, ordering: .releasing)
                return
            }
            var spins = 0
            while meetings.load(ordering: .acquiring) == count { State.wait(&spins) }
        }

        /// Waits a little, the longer the more it leaves the processor to others.
        private static func wait(_ spins: inout Int) {
            spins += 1
            if spins > State.spinsBeforeYield { sched_yield() } else { cmk_relax() }
        }

        func stop() {
            stopping.store(true, ordering: .sequentiallyConsistent)
            wake()
        }

        private func wake() {
            epoch.add(1, ordering: .sequentiallyConsistent)
            guard sleeping.load(ordering: .sequentiallyConsistent) > 0 else { return }
            unsafe pthread_mutex_lock(mutex)
            unsafe pthread_cond_broadcast(condition)
            unsafe pthread_mutex_unlock(mutex)
        }

        private func serve(as member: Int) {
            var seen: UInt64 = 0
            while true {
                seen = waitForEpoch(after: seen)
                if stopping.load(ordering: .sequentiallyConsistent) { return }
                work?.doPart(of: member)
                remaining.subtract(1, ordering: .releasing)
            }
        }

        private func waitForEpoch(after seen: UInt64) -> UInt64 {
            for _ in 0..<State.spinsBeforeSleep {
                let current = epoch.load(ordering: .acquiring)
                if current != seen { return current }
                cmk_relax()
            }
            unsafe pthread_mutex_lock(mutex)
            sleeping.add(1, ordering: .sequentiallyConsistent)
            while epoch.load(ordering: .sequentiallyConsistent) == seen {
                unsafe pthread_cond_wait(condition, mutex)
            }
            sleeping.subtract(1, ordering: .sequentiallyConsistent)
            unsafe pthread_mutex_unlock(mutex)
            return epoch.load(ordering: .acquiring)
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
