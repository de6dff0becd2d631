internal import Synchronization

/// A counter and what keeps the next one out of its cache lines: two of 64 bytes, since processors
/// fetch them in pairs.
struct CounterLine: ~Copyable {
    let value = Atomic<Int>(0)
    private let padding = InlineArray<15, Int>(repeating: 0)
}

/// Counters that threads share, each in cache lines of its own: writing one disturbs nobody who reads
/// another. Memory rather than objects, whose references threads would count in the same lines.
@safe final class CounterLines: Sendable {
    // Safety: `first` is constant, its memory lives as long as the object, and every access is atomic.
    private nonisolated(unsafe) let first: UnsafeMutablePointer<CounterLine>
    private let count: Int

    /// Zeros.
    init(count: Int) {
        self.count = count
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(count, 1) * MemoryLayout<CounterLine>.stride,
            alignment: MemoryLayout<CounterLine>.stride)
        unsafe first = memory.bindMemory(to: CounterLine.self, capacity: count)
        for index in 0..<count { unsafe (first + index).initialize(to: CounterLine()) }
    }

    deinit {
        unsafe first.deinitialize(count: count)
        unsafe UnsafeMutableRawPointer(first).deallocate()
    }

    /// What somebody stored at some time.
    func value(_ index: Int) -> Int {
        unsafe first[index].value.load(ordering: .relaxed)
    }

    func set(_ index: Int, to value: Int) {
        unsafe first[index].value.store(value, ordering: .relaxed)
    }

    /// With it comes all that its writer wrote before it announced it.
    func heard(_ index: Int) -> Int {
        unsafe first[index].value.load(ordering: .acquiring)
    }

    func announce(_ index: Int, _ value: Int) {
        unsafe first[index].value.store(value, ordering: .releasing)
    }

    /// Hands out 0, 1, 2, …, each once, to whichever thread asks; nil once `limit` are taken.
    func take(_ index: Int, below limit: Int) -> Int? {
        guard value(index) < limit else { return nil }
        let taken = unsafe first[index].value.add(1, ordering: .relaxed).oldValue
        return taken < limit ? taken : nil
    }
}
