-- Reads of a thousand keys in turn; the first argument is a query to append.
local n = 0
local query = ""
init = function(args) query = args[1] or "" end
request = function()
  n = n + 1
  return wrk.format("GET", "/key-" .. (n % 1000) .. query)
end
