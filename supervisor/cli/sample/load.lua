-- A bounded mix of visitors: paths, methods, agents and pauses drawn from a fixed seed for each thread.
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end

local agents = {
  "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
  "curl/8.11.0", "python-requests/2.32.3", "kube-probe/1.31", "Googlebot/2.1 (+http://www.google.com/bot.html)", "-",
}
local referers = { "-", "-", "https://example.com/", "https://example.org/search?q=shell", "https://example.com/items" }
local users = { false, false, false, false, "bWFyeTp4", "am9objp4" }
local function any(list) return list[math.random(#list)] end

local function target()
  local dice = math.random(100)
  if dice <= 38 then return "GET", any({ "/", "/items", "/about", "/static/site.css", "/static/site.js" }) end
  if dice <= 50 then return "GET", "/download/photo-" .. math.random(5) .. ".jpg" end
  if dice <= 62 then return "GET", "/api/items?page=" .. math.random(200) end
  if dice <= 68 then return "POST", "/api/items" end
  if dice <= 76 then return "POST", "/api/checkout" end
  if dice <= 80 then return "GET", "/api/search?q=" .. any({ "moult", "insect%20shell", "%C3%A9lytre", "a+b" }) end
  if dice <= 84 then return any({ "POST", "GET" }), "/login" end
  if dice <= 87 then return "GET", "/account" end
  if dice <= 89 then return any({ "HEAD", "GET" }), "/old/news" .. math.random(30) .. ".html" end
  if dice <= 94 then return "GET", "/health" end
  if dice <= 96 then return "GET", any({ "/wp-login.php", "/.env", "/admin", "/missing-" .. math.random(1000) }) end
  if dice <= 98 then return "GET", "/broken" end
  return any({ "PUT", "DELETE", "OPTIONS" }), "/items/" .. math.random(50)
end

function init() math.randomseed(2026 + id) end
function delay() return math.random(4, 40) end

function request()
  local method, path = target()
  local headers = { ["Host"] = "example.com", ["User-Agent"] = any(agents), ["Referer"] = any(referers) }
  headers["X-Forwarded-For"] = any({ "192.0.2.", "198.51.100.", "203.0.113." }) .. math.random(254)
  local user = any(users)
  if user then headers["Authorization"] = "Basic " .. user end
  local body = method == "POST" and string.rep("x", math.random(200, 5000)) or nil
  return wrk.format(method, path, headers, body)
end
