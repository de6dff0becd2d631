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
