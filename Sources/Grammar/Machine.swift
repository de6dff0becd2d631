/// A symbol of a grammar's rules.
enum Symbol: Hashable, Sendable {
    case terminal(RegularLanguages.ID)
    case rule(Int)
}

/// A context-free grammar whose rules are made when somebody asks for them.
protocol GrammarRules: AnyObject {
    var start: Int { get }
    /// What a rule may be, each as a sequence of symbols.
    func productions(
        of rule: Int, _ languages: inout RegularLanguages
    ) throws(GrammarError) -> [[Symbol]]
}

/// Reads bytes by a grammar: an Earley parser (Earley, 1970) over terminals that are regular languages.
///
/// Rows are numbered by their content, so that a list's elements lead back to the row of the first, and what has been
/// worked out once is a look-up for every text afterwards. A rule at the end of another takes its place, which makes lists
/// that are written with their rest at the end as good as those with it in front.
struct Machine {
    private var languages: RegularLanguages
    private let rules: any GrammarRules

    /// A production on its way: as `rule`, from a row on.
    private struct Item: Hashable, Comparable {
        var rule: Int32
        var body: Int32
        var dot: Int32
        var origin: Int32

        static func < (a: Item, b: Item) -> Bool {
            (a.origin, a.rule, a.body, a.dot) < (b.origin, b.rule, b.body, b.dot)
        }
    }

    private struct Row {
        /// Whether all that follows from its items is in it: closing may be given up for the work that it takes.
        var isClosed = false
        /// Items by the terminal that they want.
        var scans: [(terminal: RegularLanguages.ID, item: Item)] = []
        /// Items by the rule that they wait for.
        var waiting: [Int32: [Item]] = [:]
        var accepts = false
        /// Where each terminal leads.
        var next: [RegularLanguages.ID: Int32] = [:]
        /// What a text may be in that begins in this row, and whether nothing has to follow.
        var entry: Entry?
    }

    private struct Kernel: Mixable {
        var items: [Item]
        var accepts: Bool

        func mix(into mixer: inout Mixer) {
            mixer.mix(accepts ? 1 : 0)
            for item in items {
                mixer.mix(item.rule, item.body)
                mixer.mix(item.dot, item.origin)
            }
        }
    }

    /// Inside a terminal of a row.
    private struct Place: Hashable, Comparable {
        var row: Int32
        var terminal: RegularLanguages.ID
        var rest: RegularLanguages.ID

        static func < (a: Place, b: Place) -> Bool {
            (a.row, a.terminal, a.rest) < (b.row, b.terminal, b.rest)
        }
    }

    private struct Entry: Mixable {
        var places: [Place]
        var accepts: Bool

        func mix(into mixer: inout Mixer) {
            mixer.mix(accepts ? 1 : 0)
            for place in places {
                mixer.mix(place.row, place.terminal)
                mixer.mix(place.rest, 0)
            }
        }
    }

    private var bodies: [[Symbol]] = []
    private var bodyNumbers: [[Symbol]: Int32] = [:]
    private var productions: [Int32: [Int32]] = [:]
    private var rows: [Row] = []
    private var kernels = NumberTable<Kernel>()
    private var entries = NumberTable<Entry>()
    /// One for each state and class of bytes; -1 for nothing, -2 for what is not known yet.
    private var transitions: [Int32] = []
    /// Of the languages that states are of.
    private var classes = ByteClasses()

    /// Of all states together.
    private var placeCount = 0
    /// See `stays`.
    private var staying: [Int32: Bool] = [:]

    /// Where reading begins.
    private(set) var start: Int32 = 0
    private static let mostPlaces = 4_000
    /// For a byte, where nobody else waits.
    static let mostWork = 1_500_000

    init(_ rules: any GrammarRules, _ languages: RegularLanguages) throws(GrammarError) {
        self.rules = rules
        self.languages = languages
        // While texts are read each byte may ask.
        self.languages.searchLimit = 60
        let first = try row(
            Kernel(items: [], accepts: false), adding: try predicted(Int32(rules.start), origin: 0))
        start = state(try entry(of: first))
    }

    var stateCount: Int { entries.count }
    /// Roughly what has been worked out so far.
    var byteCount: Int {
        let row = 4 * classes.count + 200
        return row * (entries.count + languages.count) + 600 * rows.count + 12 * placeCount
    }

    // MARK: States

    /// Whether a text may end here.
    func accepts(_ state: Int32) -> Bool { entries[state].accepts }

    /// Whether a text may go on.
    func continues(_ state: Int32) -> Bool { !entries[state].places.isEmpty }

    /// What it is after a byte; nil when no text goes on so.
    @inline(__always)
    mutating func next(_ state: Int32, _ byte: UInt8) throws(GrammarError) -> Int32? {
        let known = transitions[place(of: state, byte)]
        if known > -2 { return known < 0 ? nil : known }
        return try find(state, byte)
    }

    /// The bytes that every text goes on with, as far as the work that is allowed goes.
    mutating func forced(_ state: Int32, limit: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var state = state
        while bytes.count < limit, !accepts(state) {
            var only: (byte: UInt8, state: Int32)?
            for byte in UInt8.min...UInt8.max {
                guard let found = try? next(state, byte) else {
                    if languages.isTooLarge { return bytes }
                    continue
                }
                guard only == nil else { return bytes }
                only = (byte, found)
            }
            guard let only else { return bytes }
            bytes.append(only.byte)
            state = only.state
        }
        return bytes
    }

    /// Work that was done since more was allowed.
    var work: Int { languages.work }

    /// What follows may take so much work before it is given up.
    mutating func allow(work: Int) {
        languages.work = 0
        languages.workLimit = work
    }

    @inline(__always)
    private func place(of state: Int32, _ byte: UInt8) -> Int {
        Int(state) * classes.count + Int(classes.numbers[Int(byte)])
    }

    private mutating func find(_ state: Int32, _ byte: UInt8) throws(GrammarError) -> Int32? {
        var places: [Place] = []
        var accepts = false
        for place in entries[state].places {
            let rest = languages.derivative(place.rest, byte)
            if rest == RegularLanguages.never { continue }
            if rest != RegularLanguages.empty {
                places.append(Place(row: place.row, terminal: place.terminal, rest: rest))
            }
            if languages.isNullable(rest) {
                let behind = try entry(of: try goto(place.row, place.terminal))
                places += behind.places
                accepts = accepts || behind.accepts
            }
        }
        if places.count > 1 { places = Set(places).sorted() }
        guard places.count <= Self.mostPlaces, !languages.isTooLarge else {
            throw GrammarError(.tooComplex, "the grammar has too many readings of the text")
        }
        let isDead = places.isEmpty && !accepts
        let result = isDead ? -1 : self.state(Entry(places: places, accepts: accepts))
        transitions[place(of: state, byte)] = result
        return result < 0 ? nil : result
    }

    private mutating func state(_ entry: Entry) -> Int32 {
        let (number, isNew) = entries.number(of: entry)
        guard isNew else { return number }
        placeCount += entry.places.count
        splitClasses()
        transitions.append(contentsOf: repeatElement(-2, count: classes.count))
        return number
    }

    /// Rules that were made meanwhile may tell bytes apart that were alike before: to the states there are they still are.
    private mutating func splitClasses() {
        let before = classes.count
        guard let parents = classes.split(at: languages.classes.boundaries) else { return }
        let old = transitions
        transitions = []
        transitions.reserveCapacity(entries.count * classes.count)
        for state in stride(from: 0, to: old.count, by: before) {
            for parent in parents { transitions.append(old[state + parent]) }
        }
    }

    /// A state that allows every token of so many bytes that this one allows, and hardly any other.
    mutating func relaxed(_ state: Int32, beyond byteCount: Int) -> Int32 {
        let entry = entries[state]
        var places: Set<Place> = []
        for place in entry.places {
            let rest = languages.relaxed(place.rest, beyond: byteCount)
            places.insert(Place(row: place.row, terminal: place.terminal, rest: rest))
        }
        return self.state(Entry(places: places.sorted(), accepts: entry.accepts))
    }

    /// Where the class of bytes ends that a byte is of: such bytes are alike.
    func classEnd(_ byte: Int) -> Int {
        let number = classes.numbers[byte]
        var end = byte + 1
        while end < 256, classes.numbers[end] == number { end += 1 }
        return end
    }

    /// Whether all texts of a kind may come, of up to so many bytes. Says no where that takes many steps, or more work than
    /// what is left of the limit.
    ///
    /// - Parameter stays: whether they have to lead back to the same state.
    mutating func allows(
        _ kind: TextKind, upTo byteCount: Int, _ state: Int32, stays: Bool = false,
        done: inout Int, limit: Int
    ) throws(GrammarError) -> Bool {
        let start = state
        let places = kind.places
        var seen: [(state: Int32, place: Int)] = [(state, 0)]
        var (first, length) = (0, 0)
        while first < seen.count, length < byteCount {
            let end = seen.count
            for index in first..<end {
                let (state, place) = seen[index]
                for (bytes, next) in places[place] {
                    var byte = Int(bytes.lowerBound)
                    while byte <= Int(bytes.upperBound) {
                        guard let behind = try self.next(state, UInt8(byte)) else { return false }
                        done += languages.work
                        languages.work = 0
                        if done > limit || stays && next == 0 && behind != start { return false }
                        if !seen.contains(where: { $0 == (behind, next) }) {
                            if seen.count == Self.mostAlike { return false }
                            seen.append((behind, next))
                        }
                        // The next class of bytes.
                        let number = classes.numbers[byte]
                        repeat {
                            byte += 1
                        } while byte <= Int(bytes.upperBound)
                            && classes.numbers[byte] == number
                    }
                }
            }
            first = end
            length += 1
        }
        return true
    }

    /// Whether plain characters change nothing.
    mutating func stays(
        _ state: Int32, done: inout Int, limit: Int
    ) throws(GrammarError) -> Bool {
        if let known = staying[state] { return known }
        let result = try allows(
            .plain, upTo: .max, state, stays: true, done: &done, limit: limit)
        // What was given up is asked again.
        if result || done <= limit { staying[state] = result }
        return result
    }

    /// Places that `allows` looks at.
    private static let mostAlike = 100

    /// Characters that may come next whatever they are, as long as they stand for themselves in a JSON string.
    func plainRoom(_ state: Int32) -> Int {
        entries[state].places.reduce(0) { max($0, languages.plainRoom($1.rest)) }
    }

    // MARK: Rows

    private mutating func entry(of row: Int32) throws(GrammarError) -> Entry {
        if let known = rows[Int(row)].entry { return known }
        var places: Set<Place> = []
        var accepts = false
        var (seen, waiting): (Set<Int32>, [Int32]) = ([row], [row])
        // Terminals that may be nothing lead on at once.
        while let next = waiting.popLast() {
            accepts = accepts || rows[Int(next)].accepts
            for (terminal, _) in rows[Int(next)].scans {
                if terminal != RegularLanguages.empty {
                    places.insert(Place(row: next, terminal: terminal, rest: terminal))
                }
                guard languages.isNullable(terminal) else { continue }
                let behind = try goto(next, terminal)
                if seen.insert(behind).inserted { waiting.append(behind) }
            }
        }
        let entry = Entry(places: places.sorted(), accepts: accepts)
        rows[Int(row)].entry = entry
        return entry
    }

    /// The row after a terminal.
    private mutating func goto(
        _ row: Int32, _ terminal: RegularLanguages.ID
    ) throws(GrammarError) -> Int32 {
        if let known = rows[Int(row)].next[terminal] { return known }
        var items: Set<Item> = []
        var accepts = false
        var waiting = rows[Int(row)].scans.filter { $0.terminal == terminal }.map(\.item)
        var done: Set<Item> = []
        while let item = waiting.popLast() {
            var next = item
            next.dot += 1
            guard next.dot == Int32(bodies[Int(next.body)].count) else {
                items.insert(next)
                continue
            }
            guard done.insert(next).inserted else { continue }
            if next.rule == Int32(rules.start), next.origin == 0 { accepts = true }
            waiting += rows[Int(next.origin)].waiting[next.rule] ?? []
        }
        let kernel = Kernel(items: items.sorted(), accepts: accepts)
        let result = try self.row(kernel, adding: kernel.items)
        rows[Int(row)].next[terminal] = result
        return result
    }

    private mutating func row(
        _ kernel: Kernel, adding first: [Item]
    ) throws(GrammarError) -> Int32 {
        let (number, isNew) = kernels.number(of: kernel)
        if isNew { rows.append(Row(accepts: kernel.accepts)) }
        if !rows[Int(number)].isClosed { try close(number, first) }
        return number
    }

    /// Adds what follows from a row's items.
    private mutating func close(_ number: Int32, _ first: [Item]) throws(GrammarError) {
        var row = rows[Int(number)]
        var seen = Set(first)
        var waiting = first
        var predictedRules: Set<Int32> = []
        /// Rules that begin in this row and may be nothing.
        var doneHere: Set<Int32> = []
        func add(_ item: Item) {
            if seen.insert(item).inserted { waiting.append(item) }
        }
        func advance(_ item: Item) {
            var next = item
            next.dot += 1
            add(next)
        }
        while let item = waiting.popLast() {
            languages.work += 1
            guard !languages.isTooLarge else {
                throw GrammarError(.tooComplex, "the grammar has too many readings of the text")
            }
            let body = bodies[Int(item.body)]
            guard Int(item.dot) < body.count else {
                if item.rule == Int32(rules.start), item.origin == 0 { row.accepts = true }
                if item.origin == number {
                    guard doneHere.insert(item.rule).inserted else { continue }
                    for other in row.waiting[item.rule] ?? [] { advance(other) }
                } else {
                    for other in rows[Int(item.origin)].waiting[item.rule] ?? [] { advance(other) }
                }
                continue
            }
            switch body[Int(item.dot)] {
            case .terminal(let terminal): row.scans.append((terminal, item))
            case .rule(let rule):
                let rule = Int32(rule)
                if Int(item.dot) == body.count - 1 {
                    // In place of the one that it ends.
                    for production in try numbers(of: rule) {
                        add(Item(rule: item.rule, body: production, dot: 0, origin: item.origin))
                    }
                    continue
                }
                row.waiting[rule, default: []].append(item)
                if doneHere.contains(rule) { advance(item) }
                if predictedRules.insert(rule).inserted {
                    for item in try predicted(rule, origin: number) { add(item) }
                }
            }
        }
        row.isClosed = true
        row.scans.sort { ($0.terminal, $0.item) < ($1.terminal, $1.item) }
        rows[Int(number)] = row
    }

    private mutating func predicted(
        _ rule: Int32, origin: Int32
    ) throws(GrammarError) -> [Item] {
        try numbers(of: rule).map { Item(rule: rule, body: $0, dot: 0, origin: origin) }
    }

    private mutating func numbers(of rule: Int32) throws(GrammarError) -> [Int32] {
        if let known = productions[rule] { return known }
        let made = try rules.productions(of: Int(rule), &languages).map { body in
            if let known = bodyNumbers[body] { return known }
            let number = Int32(bodies.count)
            bodies.append(body)
            bodyNumbers[body] = number
            return number
        }
        productions[rule] = made
        return made
    }
}
