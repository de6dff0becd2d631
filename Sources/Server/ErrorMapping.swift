internal import AdapterSources
internal import AdapterStore
internal import Catalog
internal import Generation
internal import Grammar
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import ModelFiles
internal import NIOCore
internal import NIOHTTP1
internal import OpenAIWire

extension APIError {
    /// Every error that reaches the edge of the server, as the API words it. The one place where
    /// that is decided.
    init(_ error: any Error) {
        switch error {
        case let error as APIError: self = error
        case let error as GenerationError: self.init(error)
        case let error as GrammarError:
            self.init(
                status: 400, code: error.code.rawValue, message: error.description,
                parameter: "response_format")
        case let error as LibraryError: self.init(error)
        case let error as SourceError: self.init(error)
        case let error as CatalogError:
            self.init(
                status: 507, type: "server_error", code: "catalog_unusable",
                message: error.description)
        case let error as ModelFileError:
            self.init(
                status: 400, code: error.code.description, message: error.message,
                parameter: "lora_path")
        case let error as JSONError:
            self.init(status: 400, code: "invalid_json", message: "The body is \(error).")
        case is NIOTooManyBytesError:
            self.init(status: 413, code: "body_too_large", message: "The body is too large.")
        case is HTTPParserError:
            self.init(status: 400, code: "invalid_http", message: "The request is not valid HTTP.")
        case let error as any HTTPResponseError:
            let isMissing = error.status == .notFound
            self.init(
                status: error.status.code, code: isMissing ? "not_found" : "http_error",
                message: isMissing ? "There is no such route." : error.status.reasonPhrase)
        default:
            self.init(
                status: 500, type: "server_error", code: "internal_error",
                message: "Something went wrong on the server; its log says more.")
        }
    }

    /// Whether an error may say where the server keeps or finds files.
    static func namesPlaces(_ error: any Error) -> Bool {
        switch error {
        case is SourceError, is CatalogError: true
        case let error as LibraryError: [.diskFailed, .diskFull].contains(error.code)
        default: false
        }
    }

    /// Runs what reads a source that somebody has just named: they are told which it was.
    static func naming<Value>(
        _ source: String, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch var error as ModelFileError {
            error.message += " (read from \(source))"
            throw error
        }
    }

    private init(_ error: GenerationError) {
        switch error.code {
        case .modelNotFound:
            self.init(
                status: 404, code: error.code.name, message: error.message, parameter: "model")
        case .notTheBase:
            self.init(
                status: 400, code: error.code.name, message: error.message, parameter: "model")
        case .contextLengthExceeded:
            self.init(
                status: 400, code: error.code.name, message: error.message,
                parameter: "max_tokens")
        case .invalidToken:
            self.init(
                status: 400, code: error.code.name, message: error.message, parameter: "prompt")
        case .emptyPrompt:
            self.init(
                status: 400, code: error.code.name, message: error.message, parameter: "prompt")
        case .noChatTemplate:
            self.init(
                status: 400, code: error.code.name, message: error.message, parameter: "messages"
            )
        case .templateRefused, .templateFailed:
            self.init(
                status: 400, code: error.code.name, message: error.message,
                parameter: "messages")
        case .notShown(let parameter):
            self.init(
                status: 400, code: error.code.name, message: error.message,
                parameter: parameter)
        case .adapterTooLarge, .adapterIsClassifier, .unsupportedVocabulary:
            self.init(
                status: 400, code: error.code.name, message: error.message, parameter: "model")
        case .tooManyRequests:
            self.init(
                status: 429, type: "rate_limit_error", code: error.code.name,
                message: error.message,
                retryAfter: 1)
        case .tooLate(let seconds):
            self.init(
                status: 429, type: "rate_limit_error", code: error.code.name,
                message: error.message, retryAfter: seconds)
        case .shuttingDown:
            self.init(
                status: 503, type: "server_error", code: error.code.name, message: error.message,
                retryAfter: 5)
        case .deviceLost:
            self.init(
                status: 503, type: "server_error", code: error.code.name, message: error.message,
                retryAfter: 5)
        case .constraintFailed:
            self.init(
                status: 400, code: error.code.name, message: error.message,
                parameter: "response_format")
        case .modelFailed:
            self.init(
                status: 500, type: "server_error", code: error.code.name, message: error.message)
        }
    }

    private init(_ error: LibraryError) {
        let (status, type): (Int, String) =
            switch error.code {
            case .notFound: (404, "invalid_request_error")
            case .conflict: (409, "invalid_request_error")
            case .noRoom, .stopping: (503, "server_error")
            case .diskFailed, .diskFull, .folderInUse: (507, "server_error")
            default: (400, "invalid_request_error")
            }
        self.init(
            status: status, type: type, code: error.code.description, message: error.description,
            parameter: status == 503 ? nil : "lora_name",
            retryAfter: error.code == .stopping ? 5 : status == 503 ? 1 : nil)
    }

    private init(_ error: SourceError) {
        let (status, retryAfter): (Int, Int?) =
            switch error.code {
            case .sourceNotAllowed, .privateAddress, .redirectRefused: (403, nil)
            case .notFound: (404, nil)
            case .unauthorized: (502, nil)
            case .unreachable, .unavailable, .timeout, .truncated, .changedMeanwhile: (503, 5)
            case .malformedAnswer, .checksumMismatch: (502, nil)
            case .tooLarge: (413, nil)
            case .unwritableFile: (507, nil)
            default: (400, nil)
            }
        self.init(
            status: status, type: status >= 500 ? "server_error" : "invalid_request_error",
            code: error.code.description, message: error.message, parameter: "lora_path",
            retryAfter: retryAfter)
    }

    /// The error as a response.
    var response: Response { response(isMessages: false) }

    /// - Parameter isMessages: whether Anthropic's clients read it.
    func response(isMessages: Bool) -> Response {
        var response = Response(
            json: isMessages ? MessagesWriter.json(self) : json,
            status: HTTPResponse.Status(code: status))
        if let retryAfter { response.headers[.retryAfter] = String(retryAfter) }
        if status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }
}

extension Response {
    init(json: JSON, status: HTTPResponse.Status = .ok) {
        self.init(jsonText: json.text(), status: status)
    }

    init(jsonText text: String, status: HTTPResponse.Status = .ok) {
        self.init(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
