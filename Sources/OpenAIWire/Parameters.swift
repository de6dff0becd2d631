internal import JSONTree

/// Reads a request's parameters one by one, and at the end refuses those that nobody read. A null is
/// an absent parameter.
struct Parameters {
    private let object: JSON.Object
    private let path: String
    private var read: Set<String> = []

    init(_ json: JSON, path: String = "") throws(APIError) {
        guard let object = json.objectValue else {
            throw APIError(
                status: 400, code: "invalid_body",
                message: path.isEmpty
                    ? "The body must be a JSON object." : "\(path) must be an object.",
                parameter: path.isEmpty ? nil : path)
        }
        self.object = object
        self.path = path.isEmpty ? "" : path + "."
    }

    mutating func json(_ name: String) -> JSON? {
        read.insert(name)
        guard let value = object[name], !value.isNull else { return nil }
        return value
    }

    private func wrongType(_ name: String, _ value: JSON, _ expected: String) -> APIError {
        APIError(
            status: 400, code: "invalid_type",
            message: "\(path)\(name) must be \(expected), not \(value.kind).",
            parameter: path + name)
    }

    mutating func string(_ name: String) throws(APIError) -> String? {
        guard let value = json(name) else { return nil }
        guard let text = value.stringValue else { throw wrongType(name, value, "a string") }
        return text
    }

    mutating func bool(_ name: String) throws(APIError) -> Bool? {
        guard let value = json(name) else { return nil }
        guard let flag = value.boolValue else { throw wrongType(name, value, "true or false") }
        return flag
    }

    mutating func integer(_ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let value = json(name) else { return nil }
        guard let number = value.integerValue else { throw wrongType(name, value, "an integer") }
        guard range.contains(number) else {
            let upper =
                range.upperBound == .max
                ? "at least \(range.lowerBound)"
                : "between \(range.lowerBound) and \(range.upperBound)"
            throw .invalid(path + name, "\(path)\(name) is \(number); it must be \(upper).")
        }
        return number
    }

    mutating func number(_ name: String, in range: ClosedRange<Double>) throws(APIError) -> Double?
    {
        guard let value = json(name) else { return nil }
        guard let number = value.doubleValue else { throw wrongType(name, value, "a number") }
        guard range.contains(number) else {
            throw .invalid(
                path + name,
                "\(path)\(name) is \(number); it must be between \(range.lowerBound) and \(range.upperBound)."
            )
        }
        return number
    }

    /// A list; one value alone counts as a list of it.
    mutating func strings(_ name: String, limit: Int) throws(APIError) -> [String] {
        guard let value = json(name) else { return [] }
        let elements = value.arrayValue ?? [value]
        let strings = elements.compactMap(\.stringValue)
        guard strings.count == elements.count else {
            throw wrongType(name, value, "a string or a list of strings")
        }
        guard strings.count <= limit else {
            throw .invalid(
                path + name,
                "\(path)\(name) has \(strings.count) entries; at most \(limit) are allowed.")
        }
        return strings
    }

    mutating func integers(_ name: String, limit: Int) throws(APIError) -> [Int] {
        guard let value = json(name) else { return [] }
        let numbers = value.arrayValue?.compactMap(\.integerValue)
        guard let numbers, numbers.count == value.arrayValue?.count else {
            throw wrongType(name, value, "a list of integers")
        }
        guard numbers.count <= limit else {
            throw .invalid(
                path + name,
                "\(path)\(name) has \(numbers.count) entries; at most \(limit) are allowed.")
        }
        return numbers
    }

    /// A parameter that changes nothing here, whatever it says.
    mutating func ignore(_ names: String...) { read.formUnion(names) }

    /// A parameter that is understood only when it says what happens anyway.
    mutating func accept(_ name: String, only values: JSON..., because reason: String)
        throws(APIError)
    {
        guard let value = json(name), !values.contains(value) else { return }
        throw .unsupported(
            path + name, "\(path)\(name) = \(value.text()) is not supported: \(reason)")
    }

    /// What to do instead of parameters that other servers have.
    private static let hints = [
        "lora_name": "Name the adapter as model.",
        "adapter_id": "Name the adapter as model.", "lora_request": "Name the adapter as model.",
        "n_predict": "Say max_tokens.", "max_new_tokens": "Say max_tokens.",
        "repeat_penalty": "Say repetition_penalty.",
    ]

    /// Refuses what is left.
    func finish() throws(APIError) {
        for member in object.members where !read.contains(member.name) && !member.value.isNull {
            throw .unsupported(
                path + member.name,
                "\(path)\(member.name) is not a parameter of this server. \(Parameters.hints[member.name] ?? "Leave it out: nothing is silently ignored.")"
            )
        }
    }
}
