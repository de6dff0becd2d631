internal import JSONTree

/// Parts of a schema that all hold, and parts that must not: what a value has to satisfy.
struct Demand: Hashable, Sendable {
    /// Node numbers.
    var holds: Set<Int> = []
    var fails: Set<Int> = []

    static let anything = Demand()

    func adding(_ node: Int) -> Demand {
        var result = self
        result.holds.insert(node)
        return result
    }

    func union(_ other: Demand) -> Demand {
        Demand(holds: holds.union(other.holds), fails: fails.union(other.fails))
    }
}

/// JSON's types; numbers with and without a fraction apart.
struct TypeSet: OptionSet, Hashable, Sendable {
    let rawValue: Int

    static let null = TypeSet(rawValue: 1)
    static let boolean = TypeSet(rawValue: 2)
    static let integer = TypeSet(rawValue: 4)
    static let fraction = TypeSet(rawValue: 8)
    static let string = TypeSet(rawValue: 16)
    static let array = TypeSet(rawValue: 32)
    static let object = TypeSet(rawValue: 64)
    static let number: TypeSet = [.integer, .fraction]
    static let all = TypeSet(rawValue: 127)

    /// By the name that schemas have for it.
    init?(_ name: String) {
        switch name {
        case "null": self = .null
        case "boolean": self = .boolean
        case "integer": self = .integer
        case "number": self = .number
        case "string": self = .string
        case "array": self = .array
        case "object": self = .object
        default: return nil
        }
    }

    init(rawValue: Int) { self.rawValue = rawValue }

    init(of value: JSON) {
        switch value {
        case .null: self = .null
        case .bool: self = .boolean
        case .integer, .largeInteger: self = .integer
        case .number(let number): self = number.rounded() == number ? .integer : .fraction
        case .string: self = .string
        case .array: self = .array
        case .object: self = .object
        }
    }
}

/// One way to satisfy a demand: what is asked of a value of each type, with nothing left to choose.
struct Flat: Hashable, Sendable {
    var types = TypeSet.all
    /// The only values; everything else has been checked against them.
    var values: [JSON]?
    var bounds = NumberBounds()
    var multiples: [String] = []
    var excludedMultiples: [String] = []
    /// Of strings, with the keyword that it comes from.
    var patterns: [String] = []
    var excludedPatterns: [String] = []
    var formats: [String] = []
    var excludedValues: [JSON] = []
    var leastLength = 0
    var mostLength: Int?
    var leastItems = 0
    var mostItems: Int?
    var leastProperties = 0
    var mostProperties: Int?
    var required: Set<String> = []
    var forbidden: Set<String> = []
    /// What properties need when others are there.
    var dependencies: [Dependency] = []
    /// What single properties must satisfy beside what nodes say of them.
    var extra: [String: Demand] = [:]
    /// Nodes whose words on properties and items hold.
    var holders: Set<Int> = []
    /// Items must differ.
    var isUnique = false
    /// So many items must satisfy a node.
    var contained: Contained?
    /// Nodes for properties and items that no holder speaks of.
    var unevaluatedProperties: Int?
    var unevaluatedItems: Int?

    struct Contained: Hashable, Sendable {
        var node: Int
        var least: Int
        var most: Int?
    }

    struct Dependency: Hashable, Sendable {
        var name: String
        var needs: Set<String>
    }
}
