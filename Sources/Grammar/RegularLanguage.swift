/// Regular languages of bytes, by their derivatives.
///
/// A language is a number; equal expressions have equal numbers, so that a derivative computed once is a look-up
/// afterwards. Intersection, complement and counted repetition are expressions like the others and cost nothing until
/// bytes are read. (Brzozowski, "Derivatives of Regular Expressions", 1964.)
struct RegularLanguages {
    typealias ID = Int32

    private enum Node: Mixable {
        case never
        case empty
        case bytes(ByteSet)
        case sequence(ID, ID)
        case either([ID])
        case both([ID])
        case not(ID)
        /// At least so often, at most so often or any number of times.
        case repeated(ID, Int, Int?)
        /// A table's state.
        case table(Int, Int)

        func mix(into mixer: inout Mixer) {
            switch self {
            case .never: mixer.mix(0)
            case .empty: mixer.mix(1)
            case .bytes(let set): set.mix(into: &mixer)
            case .sequence(let a, let b): mixer.mix(a, b)
            case .either(let parts): Node.mix(parts, 2, into: &mixer)
            case .both(let parts): Node.mix(parts, 3, into: &mixer)
            case .not(let inner): mixer.mix(inner, -1)
            case .repeated(let inner, let least, let most):
                mixer.mix(UInt64(bitPattern: Int64(least)))
                mixer.mix(inner, Int32(truncatingIfNeeded: most ?? -1))
            case .table(let table, let state):
                mixer.mix(Int32(truncatingIfNeeded: table), Int32(truncatingIfNeeded: ~state))
            }
        }

        private static func mix(_ parts: [ID], _ kind: UInt64, into mixer: inout Mixer) {
            mixer.mix(kind)
            for part in parts { mixer.mix(part, 0) }
        }
    }

    /// A finite automaton that is easier said as a table. State 0 is where it begins, -1 is no state.
    struct Table: Hashable {
        /// By state, by byte.
        var next: [[UInt8: Int]]
        var accepts: [Bool]
    }

    private var nodes = NumberTable<Node>()
    /// By language: whether it has the empty string, and whether only a search tells that it has any.
    private var nullable: [Bool] = [false, true]
    private var needsSearch: [Bool] = [false, false]
    /// Whether there are only so many strings in it, as far as its expression shows.
    private var isFinite: [Bool] = [true, true]
    /// Those of one character, by what it may be.
    var characterLanguages: [CharacterKey: ID] = [:]
    /// Any character of a JSON string: in one spelling, and in all.
    var characters: Set<ID> = []
    /// Where a language's derivatives begin in `derivatives`, one for each class of bytes; -1 where there are none yet.
    private var derivativeRows: [Int32] = [-1, -1]
    /// -1 is unknown.
    private var derivatives: [ID] = []
    private var isKnownEmpty: [Bool?] = [true, false]
    private var tables: [Table] = []
    private(set) var classes = ByteClasses()

    /// Nothing, and the empty string.
    static let never: ID = 0
    static let empty: ID = 1

    init() {
        _ = nodes.number(of: .never)
        _ = nodes.number(of: .empty)
    }

    var count: Int { nodes.count }
    /// Something has become larger than anybody needs, or has taken more work.
    var isTooLarge: Bool { hasTooManyParts || work > workLimit }
    private var hasTooManyParts = false
    /// Languages looked at so far to find whether others are empty.
    private(set) var searchedCount = 0
    /// Parts of expressions looked at so far. Whoever sets the limit asks `isTooLarge` afterwards: beyond it answers may
    /// be wrong.
    var work = 0
    var workLimit = 1_500_000
    private static let mostParts = 20_000
    /// Languages looked at to find whether one is empty.
    var searchLimit = 2_000

    func isNullable(_ id: ID) -> Bool { nullable[Int(id)] }

    // MARK: Making them

    private mutating func make(_ node: Node) -> ID {
        let (id, isNew) = nodes.number(of: node)
        guard isNew else { return id }
        derivativeRows.append(-1)
        isKnownEmpty.append(nil)
        isFinite.append(finite(node))
        switch node {
        case .never, .empty: break
        case .bytes(let set):
            split(at: set.boundaries)
            nullable.append(false)
            needsSearch.append(false)
        case .sequence(let a, let b):
            nullable.append(isNullable(a) && isNullable(b))
            needsSearch.append(needsSearch[Int(a)] || needsSearch[Int(b)])
        case .either(let parts):
            nullable.append(parts.contains { isNullable($0) })
            needsSearch.append(parts.contains { needsSearch[Int($0)] })
        case .both(let parts):
            nullable.append(parts.allSatisfy { isNullable($0) })
            needsSearch.append(true)
        case .not(let inner):
            nullable.append(!isNullable(inner))
            needsSearch.append(true)
        case .repeated(let inner, let least, _):
            nullable.append(least == 0 || isNullable(inner))
            needsSearch.append(needsSearch[Int(inner)])
        case .table(let table, let state):
            nullable.append(tables[table].accepts[state])
            needsSearch.append(true)
        }
        return id
    }

    private mutating func split(at boundaries: ByteSet) {
        let before = classes.count
        guard let parents = classes.split(at: boundaries) else { return }
        let old = derivatives
        derivatives = []
        derivatives.reserveCapacity(old.count / before * classes.count)
        for row in stride(from: 0, to: old.count, by: before) {
            for parent in parents { derivatives.append(old[row + parent]) }
        }
        for id in derivativeRows.indices where derivativeRows[id] >= 0 {
            derivativeRows[id] = derivativeRows[id] / Int32(before) * Int32(classes.count)
        }
    }

    private func finite(_ node: Node) -> Bool {
        switch node {
        case .never, .empty, .bytes: true
        case .sequence(let a, let b): isFinite[Int(a)] && isFinite[Int(b)]
        case .either(let parts): parts.allSatisfy { isFinite[Int($0)] }
        case .both(let parts): parts.contains { isFinite[Int($0)] }
        case .repeated(let inner, _, let most): most != nil && isFinite[Int(inner)]
        case .not, .table: false
        }
    }

    /// How many characters may come next whatever they are, as far as the expression shows.
    func plainRoom(_ id: ID) -> Int {
        switch nodes[id] {
        case .sequence(let first, _): plainRoom(first)
        case .repeated(let inner, _, let most): characters.contains(inner) ? most ?? .max : 0
        // All but some strings: nothing that begins anyhow is lost.
        case .not(let inner): isFinite[Int(inner)] ? .max : 0
        case .both(let parts): parts.reduce(.max) { min($0, plainRoom($1)) }
        case .either(let parts): parts.reduce(0) { max($0, plainRoom($1)) }
        default: 0
        }
    }

    mutating func bytes(_ set: ByteSet) -> ID { set.isEmpty ? Self.never : make(.bytes(set)) }

    mutating func literal(_ bytes: some Collection<UInt8>) -> ID {
        bytes.reversed().reduce(Self.empty) { rest, byte in
            let first = self.bytes(ByteSet(byte...byte))
            return sequence(first, rest)
        }
    }

    mutating func sequence(_ a: ID, _ b: ID) -> ID {
        if a == Self.never || b == Self.never { return Self.never }
        if a == Self.empty { return b }
        if b == Self.empty { return a }
        // Part by part from behind: texts are long.
        var (parts, last): ([ID], ID) = ([], a)
        while case .sequence(let first, let rest) = nodes[last] {
            parts.append(first)
            last = rest
        }
        var result = make(.sequence(last, b))
        for part in parts.reversed() { result = make(.sequence(part, result)) }
        return result
    }

    mutating func sequence(_ parts: [ID]) -> ID {
        parts.reversed().reduce(Self.empty) { rest, part in sequence(part, rest) }
    }

    mutating func either(_ parts: [ID]) -> ID {
        var flat: [ID] = []
        flat.reserveCapacity(parts.count)
        var set = ByteSet()
        for part in parts {
            switch nodes[part] {
            case .never: break
            case .bytes(let bytes): set = set.union(bytes)
            case .either(let inner):
                for part in inner {
                    if case .bytes(let bytes) = nodes[part] {
                        set = set.union(bytes)
                    } else {
                        flat.append(part)
                    }
                }
            default: flat.append(part)
            }
        }
        flat.sortWithoutRepeats()
        work += flat.count
        let everything = all
        if flat.contains(everything) { return everything }
        if !set.isEmpty {
            flat.append(bytes(set))
            flat.sortWithoutRepeats()
        }
        if flat.count > Self.mostParts { hasTooManyParts = true }
        return flat.count < 2 ? flat.first ?? Self.never : make(.either(flat))
    }

    mutating func both(_ parts: [ID]) -> ID {
        var flat: [ID] = []
        flat.reserveCapacity(parts.count)
        var set: ByteSet?
        for part in parts {
            switch nodes[part] {
            case .never: return Self.never
            case .bytes(let bytes): set = set?.intersection(bytes) ?? bytes
            case .both(let inner):
                for part in inner {
                    if case .bytes(let bytes) = nodes[part] {
                        set = set?.intersection(bytes) ?? bytes
                    } else {
                        flat.append(part)
                    }
                }
            default: flat.append(part)
            }
        }
        if let set { flat.append(bytes(set)) }
        flat.sortWithoutRepeats()
        work += flat.count
        if flat.first == Self.never { return Self.never }
        let everything = all
        if flat.contains(Self.empty) {
            let hasEmpty = flat.allSatisfy { isNullable($0) }
            return hasEmpty ? Self.empty : Self.never
        }
        flat.removeAll { $0 == everything }
        return flat.isEmpty ? everything : flat.count == 1 ? flat[0] : make(.both(flat))
    }

    mutating func not(_ id: ID) -> ID {
        if case .not(let inner) = nodes[id] { return inner }
        return make(.not(id))
    }

    /// All strings.
    var all: ID { mutating get { make(.not(Self.never)) } }

    mutating func repeated(_ id: ID, _ least: Int, _ most: Int?) -> ID {
        if most == 0 || id == Self.empty { return Self.empty }
        if id == Self.never { return least == 0 ? Self.empty : Self.never }
        if least == 1, most == 1 { return id }
        // What may be nothing may be left out.
        let least = isNullable(id) ? 0 : least
        if least == 0, case .repeated(_, 0, nil) = nodes[id] { return id }
        return make(.repeated(id, least, most))
    }

    mutating func optional(_ id: ID) -> ID { either([Self.empty, id]) }

    mutating func table(_ table: Table) -> ID {
        tables.append(table)
        var boundaries = ByteSet()
        for row in table.next {
            for byte in row.keys {
                boundaries.insert(byte)
                if byte < 255 { boundaries.insert(byte + 1) }
            }
        }
        split(at: boundaries)
        return make(.table(tables.count - 1, 0))
    }

    /// One of some strings, by their common beginnings: as many as there are cost a byte no more than a few.
    mutating func oneOf(_ strings: [[UInt8]]) -> ID {
        oneOf(strings.sorted { $0.lexicographicallyPrecedes($1) }[...], from: 0)
    }

    private mutating func oneOf(_ strings: ArraySlice<[UInt8]>, from place: Int) -> ID {
        var parts: [ID] = []
        var rest = strings
        while let first = rest.first {
            guard first.count > place else {
                parts.append(Self.empty)
                rest.removeFirst()
                continue
            }
            let byte = first[place]
            let end = rest.firstIndex { $0[place] != byte } ?? rest.endIndex
            let group = rest[rest.startIndex..<end]
            rest = rest[end...]
            // What one string alone has left needs no branching, nor what all have in common.
            guard group.count > 1, let other = group.last else {
                parts.append(literal(first[place...]))
                continue
            }
            let common = zip(first[place...], other[place...]).prefix { $0 == $1 }.count
            let shared = literal(first[place..<place + common])
            parts.append(sequence(shared, oneOf(group, from: place + common)))
        }
        return either(parts)
    }

    /// The language with counts that so many bytes cannot use up left open: for those bytes it allows all that the
    /// language does, and what more it allows is rare. Many places of a long text have the same.
    mutating func relaxed(_ id: ID, beyond byteCount: Int) -> ID {
        switch nodes[id] {
        case .sequence(let first, let rest):
            let relaxed = relaxed(first, beyond: byteCount)
            return relaxed == first ? id : sequence(relaxed, rest)
        case .both(let parts):
            var relaxedParts: [ID] = []
            for part in parts { relaxedParts.append(relaxed(part, beyond: byteCount)) }
            return relaxedParts == parts ? id : both(relaxedParts)
        case .either(let parts):
            var relaxedParts: [ID] = []
            for part in parts { relaxedParts.append(relaxed(part, beyond: byteCount)) }
            return relaxedParts == parts ? id : either(relaxedParts)
        case .repeated(let inner, let least, let most) where !isNullable(inner):
            let open = most.map { $0 > byteCount + 1 } ?? true
            return repeated(inner, min(least, byteCount + 1), open ? nil : most)
        default: return id
        }
    }

    // MARK: Reading them

    /// What may come after a byte; `never` when nothing that begins so is in the language.
    mutating func derivative(_ id: ID, _ byte: UInt8) -> ID {
        let result = remembered(id, byte)
        return needsSearch[Int(result)] && isEmpty(result) ? Self.never : result
    }

    /// The same, which may be empty without saying so.
    private mutating func remembered(_ id: ID, _ byte: UInt8) -> ID {
        let number = Int(classes.numbers[Int(byte)])
        let row = Int(derivativeRows[Int(id)])
        if row >= 0, derivatives[row + number] >= 0 { return derivatives[row + number] }
        // No byte's derivative has a set of bytes that begins anywhere new.
        let result = raw(id, byte)
        if derivativeRows[Int(id)] < 0 {
            derivativeRows[Int(id)] = Int32(derivatives.count)
            derivatives.append(contentsOf: repeatElement(-1, count: classes.count))
        }
        derivatives[Int(derivativeRows[Int(id)]) + number] = result
        return result
    }

    private mutating func raw(_ id: ID, _ byte: UInt8) -> ID {
        work += 1
        switch nodes[id] {
        case .never, .empty: return Self.never
        case .bytes(let set): return set.contains(byte) ? Self.empty : Self.never
        case .sequence(let a, let b):
            let first = sequence(remembered(a, byte), b)
            guard isNullable(a) else { return first }
            let second = remembered(b, byte)
            if first == Self.never || first == second { return second }
            return second == Self.never ? first : either([first, second])
        case .either(let parts): return either(parts.map { remembered($0, byte) })
        case .both(let parts): return both(parts.map { remembered($0, byte) })
        case .not(let inner): return not(remembered(inner, byte))
        case .repeated(let inner, let least, let most):
            let rest = repeated(inner, max(0, least - 1), most.map { $0 - 1 })
            return sequence(remembered(inner, byte), rest)
        case .table(let table, let state):
            guard let next = tables[table].next[state][byte], next >= 0 else { return Self.never }
            return make(.table(table, next))
        }
    }

    /// Whether no string is in the language. Looks at a bounded number of languages behind it, beyond which it says no.
    mutating func isEmpty(_ id: ID) -> Bool {
        guard needsSearch[Int(id)] else { return id == Self.never }
        if let known = isKnownEmpty[Int(id)] { return known }
        // Short strings first: mostly one is at hand. What is found for one holds for those on the way to it.
        var queue = [(id: id, parent: -1)]
        var seen: Set<ID> = [id]
        var place = 0
        while place < queue.count {
            let next = queue[place].id
            searchedCount += 1
            // Nothing is known of what was given up.
            if isTooLarge { return false }
            if isKnownEmpty[Int(next)] == true {
                place += 1
                continue
            }
            if isNullable(next) || isKnownEmpty[Int(next)] == false
                || !needsSearch[Int(next)] || queue.count > searchLimit
            {
                var step = place
                while step >= 0 {
                    isKnownEmpty[Int(queue[step].id)] = false
                    step = queue[step].parent
                }
                return false
            }
            for byte in classes.first {
                let behind = remembered(next, byte)
                if isTooLarge { return false }
                if seen.insert(behind).inserted { queue.append((behind, place)) }
            }
            place += 1
        }
        for id in seen { isKnownEmpty[Int(id)] = true }
        return true
    }

    /// Whether the bytes are in the language.
    mutating func contains(_ bytes: some Sequence<UInt8>, _ id: ID) -> Bool {
        var id = id
        for byte in bytes {
            id = derivative(id, byte)
            if id == Self.never { return false }
        }
        return isNullable(id)
    }
}

extension [Int32] {
    fileprivate mutating func sortWithoutRepeats() {
        if count < 2 { return }
        sort()
        var last = 0
        for index in 1..<count where self[index] != self[last] {
            last += 1
            self[last] = self[index]
        }
        removeLast(count - last - 1)
    }
}
