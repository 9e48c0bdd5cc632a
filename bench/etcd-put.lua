-- The same writes through etcd's JSON gateway; keys and values are base64 there.
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local function base64(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for k = 0, 3 do
      local six = math.floor(bits / 64 ^ (3 - k)) % 64
      local present = k < 2 or (k == 2 and b) or (k == 3 and c)
      out[#out + 1] = present and alphabet:sub(six + 1, six + 1) or "="
    end
  end
  return table.concat(out)
end
local value = base64(string.rep("x", 128))
local n = 0
request = function()
  n = n + 1
  local body = '{"key":"' .. base64("key-" .. (n % 1000)) .. '","value":"' .. value .. '"}'
  return wrk.format("POST", "/v3/kv/put", { ["Content-Type"] = "application/json" }, body)
end
