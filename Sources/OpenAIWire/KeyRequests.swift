public import JSONTree

/// `POST /admin/keys` and `PATCH /admin/keys/NAME`: a key's terms, all or some of them.
public struct KeyChange: Sendable {
    public var name = ""
    private var members: JSON.Object
    /// From now until it expires, in seconds.
    private var duration: Int?

    /// - Throws: `APIError` naming the parameter at fault.
    public init(making json: JSON) throws(APIError) {
        try self.init(changing: json)
        guard let name = members["name"]?.stringValue else {
            throw APIError(
                status: 400, code: "missing_parameter", message: "name is missing, or no text.",
                parameter: "name")
        }
        self.name = name
        members["name"] = nil
    }

    /// - Throws: `APIError` naming the parameter at fault.
    public init(changing json: JSON) throws(APIError) {
        guard let object = json.objectValue else {
            throw APIError(
                status: 400, code: "invalid_body", message: "The body must be a JSON object.")
        }
        members = object
        guard let text = object["duration"], !text.isNull else { return }
        guard let seconds = text.stringValue.flatMap({ KeyTerms.seconds($0) }),
            object["expires"] == nil
        else {
            throw .invalid(
                "duration", "duration must be a time such as 12h or 30d, without expires beside it."
            )
        }
        duration = seconds
        members["duration"] = nil
    }

    /// - Parameter now: in seconds since 1970.
    public func terms(at now: Double) -> JSON {
        var members = members
        if let duration { members["expires"] = .integer(Int(now) + duration) }
        return .object(members)
    }

    /// `POST /admin/keys/NAME/rotate`: seconds that the old key counts beside the new one.
    ///
    /// - Throws: `APIError` naming the parameter at fault.
    public static func grace(_ json: JSON) throws(APIError) -> Int {
        var parameters = try Parameters(json)
        let text = try parameters.string("grace")
        try parameters.finish()
        guard let text else { return 0 }
        guard let seconds = KeyTerms.seconds(text) else {
            throw .invalid("grace", "grace must be a time such as 10m or 24h.")
        }
        return seconds
    }
}

/// `GET /admin/usage?since=…&until=…&key=…&group_by=key,model,hour`.
public struct UsageQuery: Sendable {
    public enum Group: String, Sendable, CaseIterable {
        case key, model, hour
    }

    /// Since 1970.
    public var hours = 0..<Int.max
    public var key: String?
    public var groups = Group.allCases

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ parameters: [(String, String)]) throws(APIError) {
        var (since, until) = (0, Int.max)
        for (name, value) in parameters {
            switch name {
            case "since": since = try UsageQuery.hour(name, value, up: false)
            case "until": until = try UsageQuery.hour(name, value, up: true)
            case "key": key = value
            case "group_by":
                let names = value.split(separator: ",").map(String.init)
                groups = names.compactMap { Group(rawValue: $0) }
                guard !groups.isEmpty, groups.count == names.count else {
                    throw .invalid("group_by", "group_by takes key, model and hour, with commas.")
                }
            default:
                throw .unsupported(
                    name.isEmpty ? "query" : name,
                    "This route takes since, until, key and group_by.")
            }
        }
        hours = since..<max(since, until)
    }

    private static func hour(_ name: String, _ text: String, up: Bool) throws(APIError) -> Int {
        guard let seconds = Int(text), (0...1 << 40).contains(seconds) else {
            throw .invalid(name, "\(name) must be a time in seconds since 1970.")
        }
        return (seconds + (up ? 3599 : 0)) / 3600
    }
}
