extension Value {
    /// What Python has beside lists: each is written, compared and indexed in its own way.
    final class Sequence {
        enum Kind: Equatable {
            case tuple
            case range(start: Int, stop: Int, step: Int)
            /// Of a mapping.
            case keys, values, items
            /// What `map`, `select` and others give: it can be gone through once.
            case generator
        }

        let kind: Kind
        private var contents: [Value]

        init(_ kind: Kind, _ contents: [Value]) {
            self.kind = kind
            self.contents = contents
        }

        /// Without going through it.
        var waiting: [Value] { contents }

        /// What a loop sees; a generator has nothing any more afterwards.
        func taken() -> [Value] {
            guard kind == .generator else { return contents }
            defer { contents = [] }
            return contents
        }

        /// Whether elements have places.
        var isIndexed: Bool {
            switch kind {
            case .tuple, .range: true
            case .keys, .values, .items, .generator: false
            }
        }

        /// Python's `repr`.
        var representation: String {
            let list = contents.map(\.representation).joined(separator: ", ")
            return switch kind {
            case .tuple: contents.count == 1 ? "(\(list),)" : "(\(list))"
            case .range(let start, let stop, let step):
                step == 1 ? "range(\(start), \(stop))" : "range(\(start), \(stop), \(step))"
            case .keys: "dict_keys([\(list)])"
            case .values: "dict_values([\(list)])"
            case .items: "dict_items([\(list)])"
            case .generator: "<generator object>"
            }
        }

        static func equals(_ a: Sequence, _ b: Sequence) -> Bool {
            switch (a.kind, b.kind) {
            case (.tuple, .tuple), (.range, .range): a.contents == b.contents
            case (.keys, .keys), (.items, .items):
                a.contents.count == b.contents.count && a.contents.allSatisfy(b.contents.contains)
            default: a === b
            }
        }
    }

    static func tuple(_ elements: [Value]) -> Value { .sequence(Sequence(.tuple, elements)) }

    static func generator(_ elements: [Value]) -> Value {
        .sequence(Sequence(.generator, elements))
    }

    /// A mapping's members as pairs.
    static func pairs(_ dictionary: Dictionary) -> [Value] {
        dictionary.members.map { .tuple([$0.key, $0.value]) }
    }

    var isGenerator: Bool {
        if case .sequence(let sequence) = self { sequence.kind == .generator } else { false }
    }

    /// Whether it can be a key.
    var isHashable: Bool {
        switch self {
        case .list, .dictionary: false
        case .sequence(let sequence):
            sequence.kind != .tuple || sequence.waiting.allSatisfy(\.isHashable)
        default: true
        }
    }
}
