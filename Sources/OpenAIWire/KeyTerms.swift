public import JSONTree

/// What a key may: which models, how much, for how long. The words are LiteLLM's where it has some.
public struct KeyTerms: Sendable, Equatable {
    public enum Role: String, Sendable, CaseIterable {
        /// Asks models.
        case caller
        /// Sees everything that an operator sees, and changes nothing.
        case observer
        /// Names, replaces and removes adapters within its name space.
        case manager
        /// May do everything.
        case admin
    }

    /// Tokens within a window.
    public struct Budget: Sendable, Equatable {
        public var tokens: Int
        /// Windows of this length follow each other since 1970.
        public var hours: Int
    }

    public var role = Role.caller
    /// What a manager's names begin with.
    public var namespace: String?
    /// Names of models, with `*` for any text.
    public var models = ["*"]
    /// Within a minute.
    public var requestLimit: Int?
    public var tokenLimit: Int?
    /// At the same time.
    public var parallelLimit: Int?
    public var budget: Budget?
    /// Of the engine, beside others' keys.
    public var weight = 1.0
    /// The most urgent that its requests may be; lower is more urgent.
    public var priority = 0
    /// Seconds since 1970.
    public var expires: Int?
    public var isBlocked = false
    /// The operator's own notes.
    public var metadata: JSON?

    public static let priorities = -100...100
    /// Ten years.
    private static let longestBudget = 87_600 * 3600

    public init(role: Role = .caller) { self.role = role }

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        if let name = try parameters.string("role") {
            guard let role = Role(rawValue: name) else {
                let names = Role.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalid("role", "role must be one of \(names).")
            }
            self.role = role
        }
        namespace = try parameters.string("namespace")
        if parameters.json("models") != nil {
            models = try parameters.strings("models", limit: 1000)
            guard models.allSatisfy({ (1...500).contains($0.utf8.count) }) else {
                throw .invalid("models", "The names in models must have 1 to 500 bytes.")
            }
        }
        requestLimit = try parameters.integer("rpm_limit", in: 1...1_000_000_000)
        tokenLimit = try parameters.integer("tpm_limit", in: 1...1_000_000_000_000)
        parallelLimit = try parameters.integer("max_parallel_requests", in: 1...1_000_000)
        let tokens = try parameters.integer("token_budget", in: 1...1_000_000_000_000_000)
        let hours = try parameters.string("budget_duration").map { text throws(APIError) in
            guard let seconds = KeyTerms.seconds(text), seconds % 3600 == 0,
                seconds <= KeyTerms.longestBudget
            else {
                throw .invalid(
                    "budget_duration",
                    "budget_duration must be whole hours, such as 1h, 24h or 30d, and ten years at most."
                )
            }
            return seconds / 3600
        }
        if let tokens { budget = Budget(tokens: tokens, hours: hours ?? 24) }
        guard hours == nil || tokens != nil else {
            throw .invalid("budget_duration", "budget_duration needs token_budget beside it.")
        }
        weight = try parameters.number("weight", in: 0.001...1000) ?? 1
        priority = try parameters.integer("priority", in: KeyTerms.priorities) ?? 0
        expires = try parameters.integer("expires", in: 0...1 << 40)
        isBlocked = try parameters.bool("blocked") ?? false
        metadata = parameters.json("metadata")
        try parameters.finish()
        if let metadata, metadata.objectValue == nil || metadata.text().utf8.count > 4096 {
            throw .invalid("metadata", "metadata must be an object of at most 4096 bytes.")
        }
        guard (role == .manager) == (namespace != nil) else {
            throw .invalid(
                "namespace",
                "A manager's key needs a namespace, which its adapters' names begin with, such as acme/; other keys have none."
            )
        }
        if let namespace, !(1...200).contains(namespace.utf8.count) {
            throw .invalid("namespace", "namespace must have 1 to 200 bytes.")
        }
    }

    /// The same as JSON, without what is not limited.
    public var json: JSON {
        var object = JSON.Object([
            ("role", .string(role.rawValue)),
            ("models", .array(models.map { .string($0) })),
        ])
        object["namespace"] = namespace.map { .string($0) }
        object["rpm_limit"] = requestLimit.map { .integer($0) }
        object["tpm_limit"] = tokenLimit.map { .integer($0) }
        object["max_parallel_requests"] = parallelLimit.map { .integer($0) }
        object["token_budget"] = budget.map { .integer($0.tokens) }
        object["budget_duration"] = budget.map { .string("\($0.hours)h") }
        object["weight"] = .number(weight)
        object["priority"] = .integer(priority)
        object["expires"] = expires.map { .integer($0) }
        object["blocked"] = .bool(isBlocked)
        object["metadata"] = metadata
        return .object(object)
    }

    /// The terms with some members of their JSON changed; null takes one away.
    ///
    /// - Throws: `APIError` naming the parameter at fault.
    public func changed(by patch: JSON) throws(APIError) -> KeyTerms {
        guard let members = patch.objectValue?.members, var object = json.objectValue else {
            return try KeyTerms(patch)
        }
        for (name, value) in members { object[name] = value.isNull ? Optional.none : value }
        if object["token_budget"] == nil, patch["budget_duration"] == nil {
            object["budget_duration"] = nil
        }
        return try KeyTerms(.object(object))
    }

    /// What a length of time like 30s, 5m, 24h or 30d is in seconds.
    public static func seconds(_ text: String) -> Int? {
        guard let unit = text.last, let number = Int(text.dropLast()),
            (1...1_000_000).contains(number)
        else { return nil }
        let length = ["s": 1, "m": 60, "h": 3600, "d": 86_400][String(unit)]
        return length.map { $0 * number }
    }

    /// Whether its requests may name a model.
    public func allows(_ model: String) -> Bool {
        role == .admin || models.contains { NamePattern.matches($0, model) }
            || manages(model)
    }

    /// Whether it may say what a name stands for.
    public func manages(_ name: String) -> Bool {
        role == .admin || namespace.map { name.utf8.starts(with: $0.utf8) } ?? false
    }
}

/// A name with `*` for any text.
enum NamePattern {
    /// In time that is the product of both lengths at most.
    static func matches(_ pattern: String, _ name: String) -> Bool {
        let (pattern, name) = (Array(pattern.utf8), Array(name.utf8))
        var (place, at) = (0, 0)
        // Where to go on when what follows the last star does not fit.
        var star: (pattern: Int, name: Int)?
        while at < name.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                star = (place, at)
                place += 1
            } else if place < pattern.count, pattern[place] == name[at] {
                place += 1
                at += 1
            } else if let last = star {
                star = (last.pattern, last.name + 1)
                place = last.pattern + 1
                at = last.name + 1
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
