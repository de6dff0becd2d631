internal import JSONTree
internal import Tensors

/// What a `config.json` says of quantized weights (`quantization_config`), as transformers 5 reads it. Which modules are
/// quantized, and how their groups lie, the tensors tell; the configuration is read for what they cannot.
struct Quantization {
    private enum Method {
        /// - Parameters:
        ///   - added: to the words of zeros.
        ///   - isSymmetric: all zeros are the middle.
        case gptq(groupSize: Int, added: UInt32, isSymmetric: Bool, isReordered: Bool, bits: Int)
        case awq(groupSize: Int)
        case compressed([CompressedGroup])
        /// How scales may be.
        case fp8([Scales])
    }

    /// The weights that share a scale.
    enum Scales {
        case all
        /// Of a row.
        case row
        /// Columns of a row.
        case group(Int)
        /// Rows, columns.
        case block(Int, Int)
    }

    struct CompressedGroup {
        var bits: Int
        var isFloat: Bool
        var isSymmetric: Bool
        var scales: Scales
    }

    private let method: Method
    private let source: String

    /// Types that such a file has beside those of plain weights.
    static let types: Set<StoredType> = [.i32, .i64, .i8, .f8_e4m3]

    /// - Returns: nil where there is no such field.
    init?(_ config: JSON, source: String) throws(ModelFileError) {
        let whole = Fields(config: config, source: source)
        guard let section = whole.present("quantization_config") else {
            try whole.refuse("compression_config", because: "move it to quantization_config")
            return nil
        }
        let fields = Fields(config: section, source: "\(source), quantization_config")
        self.source = source
        for name in ["load_in_4bit", "load_in_8bit"]
        where try fields.bool(name, default: false) {
            throw fields.unsupported(name, "true", supported: "false (bitsandbytes is not)")
        }
        let name = try fields.string("quant_method").lowercased()
        switch name {
        case "gptq": method = try Quantization.gptq(fields)
        case "awq": method = try Quantization.awq(fields)
        case "compressed-tensors": method = try Quantization.compressed(fields)
        case "fp8": method = try Quantization.fp8(fields)
        case "fbgemm_fp8":
            try fields.refuseUnknown(but: ["activation_scale_ub", "modules_to_not_convert"])
            method = .fp8([.row])
        default:
            throw fields.unsupported(
                "quant_method", name,
                supported: "gptq, awq, compressed-tensors, fp8, fbgemm_fp8")
        }
    }

    // MARK: Configurations

    /// Of GPTQ and AWQ: how a file was made, or how others run it.
    private static let harmless: Set<String> = [
        "damp_percent", "damp_auto_increment", "true_sequential", "static_groups",
        "act_group_aware", "mse", "meta", "model_name_or_path", "model_file_base_name", "dataset",
        "tokenizer", "batch_size", "block_name_to_quantize", "module_name_preceding_first_block",
        "modules_in_block_to_quantize", "cache_block_outputs", "pad_token_id", "max_input_length",
        "model_seqlen", "use_exllama", "disable_exllama", "exllama_config", "use_cuda_fp16",
        "backend", "offload_to_disk", "offload_to_disk_path", "pack_impl", "gptaq", "foem",
        "hyb_act", "autoround_version", "data_type", "iters", "lr", "nsamples", "seqlen",
        "enable_quanted_input", "enable_minmax_tuning", "enable_norm_bias_tuning",
        "low_gpu_mem_usage",
        "to_quant_block_names", "quant_block_list", "lm_head", "do_fuse", "fuse_max_seq_len",
        "modules_to_fuse", "modules_to_not_convert", "quantizer", "method",
    ]

    private static func groupSize(
        _ fields: Fields, _ names: [String]
    ) throws(ModelFileError) -> Int {
        let name = names.first { fields.present($0) != nil } ?? names[0]
        let size = try fields.integer(name, default: 128)
        guard size == -1 || (1...1 << 24).contains(size) else {
            throw fields.unsupported(name, "\(size)", supported: "-1 and numbers above 0")
        }
        return size
    }

    private static func gptq(_ fields: Fields) throws(ModelFileError) -> Method {
        try fields.refuseUnknown(
            but: harmless.union([
                "bits", "group_size", "desc_act", "sym", "checkpoint_format", "format",
                "pack_dtype", "dynamic",
            ]))
        let bits = try fields.integer("bits")
        guard bits == 4 || bits == 8 else {
            throw fields.unsupported("bits", "\(bits)", supported: "4, 8")
        }
        let pack = try fields.string("pack_dtype", default: "int32")
        guard pack == "int32" else {
            throw fields.unsupported("pack_dtype", pack, supported: "int32")
        }
        let other = try fields.string("format", default: "gptq")
        let format = try fields.string("checkpoint_format", default: other).lowercased()
        guard ["gptq", "gptq_v2"].contains(format) else {
            throw fields.unsupported("checkpoint_format", format, supported: "gptq, gptq_v2")
        }
        guard fields.present("format") == nil || other.lowercased() == format else {
            throw fields.unsupported("format", other, supported: "the same as checkpoint_format")
        }
        for (name, value) in fields.present("dynamic")?.objectValue?.members ?? []
        where !name.hasPrefix("-:") {
            throw fields.unsupported(
                "dynamic", "\(name): \(value.text())", supported: "modules left alone (-:)")
        }
        return .gptq(
            groupSize: try groupSize(fields, ["group_size"]),
            // The first format stores each word of zeros less one in every field.
            added: format == "gptq" ? (bits == 4 ? 0x1111_1111 : 0x0101_0101) : 0,
            isSymmetric: try fields.bool("sym", default: true),
            isReordered: try fields.bool("desc_act", default: false), bits: bits)
    }

    private static func awq(_ fields: Fields) throws(ModelFileError) -> Method {
        try fields.refuseUnknown(
            but: harmless.union([
                "bits", "w_bit", "group_size", "q_group_size", "version", "format",
                "checkpoint_format", "zero_point", "desc_act", "sym",
            ]))
        let bits = try fields.integer("bits", default: try fields.integer("w_bit", default: 4))
        guard bits == 4 else { throw fields.unsupported("bits", "\(bits)", supported: "4") }
        let format = try fields.string(
            "format", default: try fields.string("checkpoint_format", default: "gemm"))
        let version = try fields.string("version", default: format)
        guard version.lowercased() == "gemm" else {
            throw fields.unsupported("version", version, supported: "gemm")
        }
        guard try fields.bool("zero_point", default: true) else {
            throw fields.unsupported("zero_point", "false", supported: "true")
        }
        let backend = try fields.string("backend", default: "autoawq")
        guard backend != "llm-awq" else {
            throw fields.unsupported("backend", backend, supported: "autoawq")
        }
        return .awq(groupSize: try groupSize(fields, ["group_size", "q_group_size"]))
    }

    private static func fp8(_ fields: Fields) throws(ModelFileError) -> Method {
        try fields.refuseUnknown(but: [
            "weight_block_size", "activation_scheme", "fmt", "scale_fmt", "expert_dtype",
            "modules_to_not_convert", "ignored_layers", "dequantize",
        ])
        for (name, values) in [
            ("fmt", ["e4m3"]), ("activation_scheme", ["dynamic", "static"]),
            ("expert_dtype", ["fp8"]),
        ] {
            let value = try fields.string(name, default: values[0])
            guard values.contains(value) else {
                throw fields.unsupported(
                    name, value, supported: values.joined(separator: ", "))
            }
        }
        guard fields.present("weight_block_size") != nil else {
            return .fp8(fields.isNull("weight_block_size") ? [.all] : [.all, .block(128, 128)])
        }
        return .fp8([.all, try fields.block("weight_block_size")])
    }

    private static func compressed(_ fields: Fields) throws(ModelFileError) -> Method {
        let formats = [
            "pack-quantized", "int-quantized", "float-quantized", "naive-quantized",
            "mixed-precision",
        ]
        func check(_ fields: Fields, default fallback: String?) throws(ModelFileError) {
            let format = try fields.string("format", default: fallback)
            guard formats.contains(format) else {
                throw fields.unsupported(
                    "format", format, supported: formats.joined(separator: ", "))
            }
        }
        try check(fields, default: nil)
        try fields.refuseUnknown(but: [
            "format", "quantization_status", "version", "config_groups", "ignore",
            "global_compression_ratio", "sparsity_config", "transform_config",
        ])
        if let sparsity = fields.present("sparsity_config"),
            sparsity["format"]?.stringValue != "dense"
        {
            throw fields.unsupported("sparsity_config", sparsity.text(), supported: "dense")
        }
        if let transform = fields.present("transform_config"),
            transform["config_groups"]?.isDefault != true
        {
            throw fields.unsupported("transform_config", transform.text(), supported: "none")
        }
        guard let groups = fields.present("config_groups")?.objectValue else {
            throw ModelFileError(
                .invalidField, "\(fields.source): config_groups is missing or no object")
        }
        var found: [CompressedGroup] = []
        for (name, group) in groups.members {
            let part = Fields(config: group, source: "\(fields.source), \(name)")
            guard group.objectValue != nil else {
                throw part.unsupported("config_groups", group.text(), supported: "objects")
            }
            try part.refuseUnknown(but: ["targets", "weights", "input_activations", "format"])
            try check(part, default: formats[0])
            guard let weights = part.present("weights") else { continue }
            found.append(
                try compressedWeights(Fields(config: weights, source: "\(part.source), weights")))
        }
        return .compressed(found)
    }

    private static func compressedWeights(
        _ fields: Fields
    ) throws(ModelFileError) -> CompressedGroup {
        try fields.refuseUnknown(but: [
            "num_bits", "type", "symmetric", "strategy", "group_size", "block_structure",
            "actorder", "observer", "observer_kwargs", "scale_dtype", "zp_dtype",
        ])
        let (type, bits) = (
            try fields.string("type", default: "int").lowercased(),
            try fields.integer("num_bits", default: 8)
        )
        guard type == "int" && (bits == 4 || bits == 8) || type == "float" && bits == 8 else {
            throw fields.unsupported(
                "num_bits", "\(bits) (\(type))", supported: "4 and 8 (int), 8 (float)")
        }
        let size = try fields.optionalInteger("group_size")
        let strategy = try fields.string(
            "strategy", default: size == nil ? "tensor" : size == -1 ? "channel" : "group")
        guard ["tensor", "channel", "group", "block"].contains(strategy) else {
            throw fields.unsupported(
                "strategy", strategy, supported: "tensor, channel, group, block")
        }
        if let order = fields.present("actorder"), order.boolValue != false {
            let name = order.stringValue ?? order.text()
            guard ["weight", "static"].contains(name) else {
                throw fields.unsupported("actorder", name, supported: "weight, static")
            }
        }
        if let type = fields.present("scale_dtype")?.stringValue, type.hasSuffix("uint8") {
            throw fields.unsupported("scale_dtype", type, supported: "floats")
        }
        let scales: Scales =
            switch strategy {
            case "tensor": .all
            case "channel": .row
            case "group": .group(try fields.integer("group_size"))
            default: try fields.block("block_structure")
            }
        return CompressedGroup(
            bits: bits, isFloat: type == "float",
            isSymmetric: try fields.bool("symmetric", default: true), scales: scales)
    }

    // MARK: Tensors

    /// Puts together what belongs together: `X.qweight`, `X.scales` and so on become `X.weight`.
    func assembled(
        _ stored: [String: StoredTensor], _ model: ModelConfiguration
    ) throws(ModelFileError) -> [String: StoredTensor] {
        var parts = Parts(source: source, left: stored)
        let mark =
            switch method {
            case .gptq, .awq: ".qweight"
            case .compressed, .fp8: ".weight"
            }
        for name in stored.keys.sorted() {
            var name = name
            if case .compressed = method, name.hasSuffix(".weight_packed") {
                name.removeLast("_packed".count)
            }
            guard name.hasSuffix(mark) else { continue }
            let module = String(name.dropLast(mark.count))
            guard let shape = model.shape(named: module + ".weight"), shape.count == 2 else {
                continue
            }
            (parts.module, parts.shape) = (module, shape)
            guard let packed = try packed(&parts) else { continue }
            guard parts.left["\(module).weight"] == nil else {
                throw ModelFileError(
                    .unexpectedTensor, "\(source): \(module) is there twice, quantized and not")
            }
            parts.left["\(module).weight"] = StoredTensor(packed, name: "\(module).weight")
        }
        for (name, tensor) in parts.left
        where tensor.packed == nil && Self.types.contains(tensor.type) {
            throw ModelFileError(
                .unexpectedTensor,
                "\(source): tensor \(name) (\(tensor.type.rawValue)) does not belong to quantized weights of this model"
            )
        }
        return parts.left
    }

    private func packed(_ parts: inout Parts) throws(ModelFileError) -> PackedNumbers? {
        switch method {
        case .gptq(let size, let added, let isSymmetric, let isReordered, let bits):
            return try parts.gptq(
                groupSize: size, added: added, isSymmetric: isSymmetric,
                isReordered: isReordered, bits: bits)
        case .awq(let size): return try parts.awq(groupSize: size)
        case .compressed(let groups): return try parts.compressed(groups)
        case .fp8(let scales): return try parts.fp8(scales)
        }
    }
}

extension Fields {
    /// Refuses fields that say something and are not named.
    fileprivate func refuseUnknown(but known: Set<String>) throws(ModelFileError) {
        for (name, value) in config.objectValue?.members ?? []
        where !known.contains(name) && name != "quant_method" && !value.isDefault {
            throw ModelFileError(
                .unsupportedField, "\(source): \(name) is \(value.text()), which is not supported")
        }
    }

    /// Rows and columns of a block: two numbers, or a text with an x between.
    fileprivate func block(_ name: String) throws(ModelFileError) -> Quantization.Scales {
        let value = present(name)
        let numbers =
            value?.stringValue.map { $0.split(separator: "x").map { Int($0) ?? 0 } }
            ?? value?.arrayValue?.map { $0.integerValue ?? 0 } ?? []
        guard numbers.count == 2, numbers.allSatisfy({ (1...1 << 20).contains($0) }) else {
            throw unsupported(name, value?.text() ?? "missing", supported: "two numbers above 0")
        }
        return .block(numbers[0], numbers[1])
    }
}
