internal import Foundation
internal import Generation
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
        case let error as RegistryError: self.init(error)
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

    private init(_ error: GenerationError) {
        switch error.code {
        case .modelNotFound:
            self.init(
                status: 404, code: "model_not_found", message: error.message, parameter: "model")
        case .contextLengthExceeded:
            self.init(
                status: 400, code: "context_length_exceeded", message: error.message,
                parameter: "max_tokens")
        case .invalidToken:
            self.init(
                status: 400, code: "invalid_token", message: error.message, parameter: "prompt")
        case .emptyPrompt:
            self.init(
                status: 400, code: "empty_prompt", message: error.message, parameter: "prompt")
        case .noChatTemplate:
            self.init(
                status: 400, code: "no_chat_template", message: error.message, parameter: "messages"
            )
        case .templateRefused, .templateFailed:
            self.init(
                status: 400, code: "chat_template_error", message: error.message,
                parameter: "messages")
        case .tooManyRequests:
            self.init(
                status: 429, type: "rate_limit_error", code: "queue_full", message: error.message,
                retryAfter: 1)
        case .shuttingDown:
            self.init(
                status: 503, type: "server_error", code: "shutting_down", message: error.message,
                retryAfter: 5)
        case .modelFailed:
            self.init(
                status: 500, type: "server_error", code: "model_failed", message: error.message)
        }
    }

    private init(_ error: RegistryError) {
        switch error.code {
        case .invalidName:
            self.init(
                status: 400, code: "invalid_value", message: error.description,
                parameter: "lora_name")
        case .taken:
            self.init(
                status: 400, code: "adapter_exists", message: error.description,
                parameter: "lora_name")
        case .notFound:
            self.init(
                status: 404, code: "adapter_not_found", message: error.description,
                parameter: "lora_name")
        case .full:
            self.init(
                status: 400, code: "too_many_adapters", message: error.description,
                parameter: "lora_name")
        }
    }

    /// The error as a response.
    var response: Response {
        var response = Response(json: json, status: HTTPResponse.Status(code: status))
        if let retryAfter { response.headers[.retryAfter] = String(retryAfter) }
        if status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }
}

extension Response {
    init(json: JSON, status: HTTPResponse.Status = .ok) {
        self.init(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: json.text())))
    }
}
