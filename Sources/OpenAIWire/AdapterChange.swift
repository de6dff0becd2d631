public import JSONTree

/// vLLM's `POST /v1/load_lora_adapter` and `/v1/unload_lora_adapter`.
public struct AdapterChange: Sendable, Equatable {
    public var name: String
    public var path: String
    /// Whether an adapter of that name is replaced.
    public var replaces: Bool

    /// - Throws: `APIError` naming the parameter at fault.
    public init(loading json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        name = try parameters.required("lora_name")
        path = try parameters.required("lora_path")
        replaces = try parameters.bool("load_inplace") ?? false
        parameters.ignore("base_model_name")
        try parameters.finish()
    }

    public static func nameToUnload(_ json: JSON) throws(APIError) -> String {
        var parameters = try Parameters(json)
        let name = try parameters.required("lora_name")
        parameters.ignore("lora_int_id")
        try parameters.finish()
        return name
    }
}

/// `PUT /admin/adapters/NAME`: what the name is to stand for.
public struct AdapterPut: Sendable, Equatable {
    public enum Content: Sendable, Equatable {
        case source(String)
        case digest(String)
    }

    public var content: Content
    /// Whether the name may stand for something already.
    public var replaces: Bool
    /// What the name must stand for now; nil for anything.
    public var expectedDigest: String?

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        let (source, digest) = (try parameters.string("source"), try parameters.string("digest"))
        replaces = try parameters.bool("replaces") ?? true
        expectedDigest = try parameters.string("if_digest")
        try parameters.finish()
        switch (source, digest) {
        case (let source?, nil) where !source.isEmpty: content = .source(source)
        case (nil, let digest?): content = .digest(digest)
        default:
            throw APIError(
                status: 400, code: "missing_parameter",
                message: "Give either source or digest: what the name is to stand for.",
                parameter: "source")
        }
        guard replaces || digest == nil else {
            throw .invalid("replaces", "replaces may be false beside source only.")
        }
    }
}

extension Parameters {
    fileprivate mutating func required(_ name: String) throws(APIError) -> String {
        guard let value = try string(name), !value.isEmpty else {
            throw APIError(
                status: 400, code: "missing_parameter", message: "\(name) is missing.",
                parameter: name)
        }
        return value
    }
}
