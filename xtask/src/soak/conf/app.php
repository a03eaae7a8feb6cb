<?php
// The soak's PHP page: every path comes here.
$path = strtok($_SERVER['REQUEST_URI'], '?');
header('Content-Type: text/plain');
switch ($path) {
    case '/large':
        echo str_repeat('x', 300 * 1024);
        break;
    case '/chunked':
        for ($i = 0; $i < 5; $i++) {
            echo str_repeat('y', 1000);
            flush();
        }
        break;
    case '/echo':
        echo file_get_contents('php://input');
        break;
    case '/nocontent':
        http_response_code(204);
        break;
    case '/notmodified':
        http_response_code(304);
        break;
    case '/missing':
        http_response_code(404);
        break;
    case '/eat':
        $eaten = str_repeat('x', 400 << 20);
        break;
    case '/die':
        posix_kill(posix_getpid(), 9);
        break;
    default:
        header('Content-Length: 5');
        echo 'hello';
}
